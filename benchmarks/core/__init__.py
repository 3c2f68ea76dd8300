"""What every benchmark needs: the network's features, the record of a measurement, scores,
intervals.
"""
