"""One page for each provider, where a person sees and does by hand what the real consoles are for."""
