"""One customer's story over real HTTP, told and checked: what `connector demo` shows."""
