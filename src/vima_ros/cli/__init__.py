"""The programs: one module or package each, with a ``main``. Imported by nothing."""
