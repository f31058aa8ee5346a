"""The budget of one Asterisk: how much it may make this side read, keep or wait for, whatever it sends.

Each figure stands here with its reason. Past one of them the connection ends, and the reason is the server's state.
"""
