"""Candidate segments of an image, ranked; they stand in for MCG's (section 4.1), which is MATLAB.

Graph segmentations (Felzenszwalb and Huttenlocher, IJCV 2004) split the image into pieces. The two
neighbours most alike are merged, over and over, until one is left: the grouping of selective search
(Uijlings et al., IJCV 2013) by colour, size and fill. Every piece that ever was is a candidate.
"""

import cv2
import numpy as np
from scipy.ndimage import find_objects
from skimage.graph import RAG, merge_hierarchical

from objseg.data.images import shrink
from objseg.data.masks import resize_nearest
from objseg.regions.proposals import PROPOSALS

SCALES = (100, 300)
"""Scale k of the graph segmentations; each is grouped by itself."""

MIN_PIECE = 1 / 3000
"""Least share of the image that a piece of a graph segmentation has: 57 pixels in ReferIt's."""

BINS = 24
"""Bins per colour channel in the histogram of a piece; selective search takes 25."""

DUPLICATE_IOU = 0.8
"""IoU above which a candidate repeats one that ranks before it."""


def segment_proposals(image: np.ndarray, count: int = PROPOSALS) -> np.ndarray:
    """Return at most ``count`` segments of ``image`` (BGR uint8, (H, W, 3)): bool (B, H, W).

    **The largest is first**, which is the whole image, and B is at least 1. Of the rankings tried
    (level of merging as in selective search, contrast along the outline, compactness, products of
    these with the area) none found more regions of street photographs and synthetic scenes with 100
    segments. A picture of more than :data:`objseg.data.images.MAX_PIXELS` is segmented on a smaller
    one.
    """
    small = shrink(image)
    segmentations = [_graph_segmentation(small, scale) for scale in SCALES]
    # What no segmentation cuts further are atoms: every candidate is a set of them, (B, atoms).
    atoms = np.zeros(small.shape[:2], np.int64)
    for labels in segmentations:
        atoms = atoms * (labels.max() + 1) + labels
    _, pixel, atoms, areas = np.unique(
        atoms, return_index=True, return_inverse=True, return_counts=True
    )
    candidates = np.vstack([
        _pieces(small, labels)[:, labels.flat[pixel]] for labels in segmentations
    ])
    best = candidates[_rank(candidates, areas, count)]
    masks = best[:, atoms].reshape(-1, *small.shape[:2])
    if small is image:
        return masks
    return np.array([resize_nearest(mask, *image.shape[:2]) for mask in masks])


def _graph_segmentation(image, scale):
    """Segment ``image`` (H, W, 3): labels 0 ... N - 1, int (H, W)."""
    segmenter = cv2.ximgproc.segmentation.createGraphSegmentation(
        sigma=0.8, k=scale, min_size=int(MIN_PIECE * image.shape[0] * image.shape[1])
    )
    return segmenter.processImage(image)


def _pieces(image, labels):
    """All pieces of the grouping of N labels, as sets of labels: bool (2 N - 1, N)."""
    graph = _neighbours(image, labels)
    pieces = [node["labels"] for _, node in graph.nodes(data=True)]

    def merge(graph, source, target):
        piece, other = graph.nodes[target], graph.nodes[source]
        piece["area"] += other["area"]
        piece["colours"] = piece["colours"] + other["colours"]
        piece["box"] = np.minimum(piece["box"], other["box"])
        pieces.append(piece["labels"] + other["labels"])

    merge_hierarchical(
        labels, graph, thresh=np.inf, rag_copy=False, in_place_merge=True, merge_func=merge,
        weight_func=lambda graph, _, piece, other: {
            "weight": _difference(graph.nodes[piece], graph.nodes[other], labels.size)
        },
    )
    sets = np.zeros((len(pieces), labels.max() + 1), bool)
    for row, piece in zip(sets, pieces):
        row[piece] = True
    return sets


def _neighbours(image, labels):
    """Graph of adjacent labels; a node has ``area``, ``colours``, a histogram, and ``box``.

    A box is (ymin, xmin, -ymax, -xmax), exclusive, so that the box of two is their minimum.
    """
    count = labels.max() + 1
    bins = cv2.cvtColor(image, cv2.COLOR_BGR2Lab).astype(int) * BINS // 256
    colours = np.hstack([
        np.bincount((labels * BINS + channel).ravel(), minlength=count * BINS).reshape(count, BINS)
        for channel in np.moveaxis(bins, 2, 0)
    ])  # (N, 3 * BINS)
    graph = RAG()  # its own way from labels to a graph calls Python for every pixel
    for label, (rows, columns) in enumerate(find_objects(labels + 1)):
        graph.add_node(
            label, labels=[label], area=colours[label, :BINS].sum(), colours=colours[label],
            box=np.array([rows.start, columns.start, -rows.stop, -columns.stop]),
        )
    pairs = np.hstack([
        [labels[:, 1:].ravel(), labels[:, :-1].ravel()], [labels[1:].ravel(), labels[:-1].ravel()]
    ])
    pairs = np.unique(np.sort(pairs[:, pairs[0] != pairs[1]], axis=0), axis=1)
    for first, second in pairs.T.tolist():
        weight = _difference(graph.nodes[first], graph.nodes[second], labels.size)
        graph.add_edge(first, second, weight=weight)
    return graph


def _difference(piece, other, pixels):
    """Return how unlike two neighbours are in an image of ``pixels`` pixels.

    Minus the sum of selective search's similarities: of colours, of small pieces, and of pieces
    that fill the box around the two; each is at most 1.
    """
    area = piece["area"] + other["area"]
    colour = np.minimum(
        piece["colours"] / piece["area"], other["colours"] / other["area"]
    ).sum() / 3
    ymin, xmin, ymax, xmax = np.minimum(piece["box"], other["box"])
    box = (ymax + ymin) * (xmax + xmin)
    return -(colour + (1 - area / pixels) + (1 - (box - area) / pixels))


def _rank(candidates, areas, count):
    """Rows of at most ``count`` different ``candidates``, bool (B, atoms), the largest first."""
    weighted = candidates * areas.astype(np.float32)  # exact below 2 ** 24 pixels
    sizes = weighted.sum(axis=1)
    shared = weighted @ candidates.T.astype(np.float32)
    repeats = shared > DUPLICATE_IOU * (sizes[:, None] + sizes - shared)
    left = np.ones(len(candidates), bool)
    rows = []
    for row in np.argsort(-sizes, kind="stable"):
        if left[row]:
            rows.append(row)
            left &= ~repeats[row]
    return rows[:count]
