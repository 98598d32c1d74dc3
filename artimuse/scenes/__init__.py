"""Small synthetic pictures with scores and attribute texts: what a small model learns to judge, and is tested on.

Every picture is drawn from parameters that are known, so that what a model says of it can be counted right or wrong:
`parameters` chooses them, `draw` makes the picture, `score` says how good it is, `sentences` and `caption` describe
it, `table` writes annotated data sets, and `baseline` is the score to beat. A scene is determined by its number and
a seed.
"""
