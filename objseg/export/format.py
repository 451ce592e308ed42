"""Two of the metadata of an ONNX file, for those who write it and those who read it."""

FORMAT = "text_objseg-caffe segmenter 1"
"""The value of "format": a reader refuses another."""

PREPROCESSING = (
    "image: the picture as uint8 BGR, resized (bilinear, aspect kept) so that its longer side is "
    "S, centred in a square of zeros; the mean is subtracted in the graph. tokens: a column per "
    "expression, line numbers of the vocabulary from 0, after zeros that fill the T rows; 3 "
    "(<unk>) for other words. Lower-case words and the punctuation between them are tokens; a last "
    "'.' is dropped."
)
"""The value of "preprocessing"."""
