"""The engines that keep the log contract."""
