"""The network: object encoder, prompt encoder, controller, action heads."""
