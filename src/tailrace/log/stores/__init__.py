"""The engines that implement the log contract, a folder each; `registry.py` lists them."""
