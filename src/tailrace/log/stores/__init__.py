"""The engines that keep the log contract, a folder each; `registry.py` knows which there are."""
