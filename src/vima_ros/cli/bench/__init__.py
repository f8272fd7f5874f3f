"""Program ``bench``: latency and throughput, beside baselines, on one page."""
