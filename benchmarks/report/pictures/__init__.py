"""Pictures for people: principal components of dense features, positive pairs on both views,
training curves.
"""
