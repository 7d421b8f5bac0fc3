"""``fastconv bench``: convolutions by this library beside every installed peer, interleaved in one run.

cases, random_cases   the shapes: a file of known ones, a file of random ones and its generator
machine               what a run may use, and the two limits it is held against: multiply-adds and memory
peers, accuracy       how each library is called, and how far its results are from exact ones
timing, measure       the clock; the process in which everything is timed
results               what was measured, and the ratios and shares made of it
report, picture       tables and JSON; bars and a roofline
networks, network_peers      whole networks on one image, in place of all of the above
training, training_peers     training steps of the lecture's networks (``fastconv mnist1d bench``)
apart                 the process in which those two are timed
command               the options, and the way from them to all of the above
"""
