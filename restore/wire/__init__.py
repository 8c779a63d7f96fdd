"""Bytes to values and back, pure: BCS, layouts, record framing."""
