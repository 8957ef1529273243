"""The asset checks of the feeds and of the facts."""
