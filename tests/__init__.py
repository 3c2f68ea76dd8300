"""A package, so that processes that tests start find this folder and not the ``tests`` that
mmsegmentation installs.
"""
