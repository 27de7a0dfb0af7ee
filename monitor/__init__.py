"""The daemon: settings, composition, the loop, the store, metrics, web, command line.

Start reading at :mod:`monitor.loop`.
"""
