"""Why a phone does not ring: `plantel why`.

closeup     one queue of one Asterisk, seen closely: what a Switch tells
facts       what is known of an agent: by the roster (Trace), by each server (Sight)
tracing     from the store to a Trace
findings    every cause that can be told, and its words
weighing    pure: from facts to findings
report      the answer, in words
inquiry     asks the roster and every server, and weighs what they say

Three touch the rest of the house, each at its own height: closeup below the ports, tracing below the service, inquiry
above the delivery.
"""
