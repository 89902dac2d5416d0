"""Battles of a policy, and what they say about its strength.

    ratings.py   shares of points with intervals, sequential tests, Elo
"""
