"""The web process: webhooks in, health out."""
