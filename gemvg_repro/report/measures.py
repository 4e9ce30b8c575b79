"""What is each measure that a table or figure names? The definition that its head shows."""

from __future__ import annotations

from .labels import SHORTCUTS

DEFINITIONS = {
    "mean F1": "F1@0.5, the mean over the five kinds: within a kind 2 TP / (predicted + true boxes), over all its "
    "samples. TP: pairs of a largest matching, in the same image, with IoU of 0.5 or more.",
    "referential": "F1@0.5 where the query describes its targets.",
    "semantic": "F1@0.5 where images are associated by what they show.",
    "spatial": "F1@0.5 where images are associated by place.",
    "temporal": "F1@0.5 where images are associated by time.",
    "reasoning": "F1@0.5 where the targets follow from other images over two hops or more.",
    "no-target accuracy": "Share of the samples without any target whose answer says so.",
    "parse failures": "Share of the responses in which neither boxes nor \N{LEFT DOUBLE QUOTATION MARK}none"
    "\N{RIGHT DOUBLE QUOTATION MARK} could be parsed; they count as no boxes.",
    "response length": "Tokens of a response, the mean over the samples.",
    "M tokens": "Million tokens that the variant's last stage trained on.",
    "TFLOP": "10^12 floating-point operations of the variant's last stage, generation included.",
    "PFLOP": "10^15 floating-point operations of the variant's last stage, generation included.",
    "EFLOP": "10^18 floating-point operations of the variant's last stage, generation included.",
    "total": "The weighted sum of the reward's terms.",
    "f1": "F1@0.5: in claims as the mean F1; as a reward that of one sample, 2 TP / (predicted + true boxes).",
    "localisation": "Largest sum of IoU over one-to-one matchings within images, over the larger number of boxes.",
    "count": "1 - |predicted - true| / the larger of the two, of the numbers of boxes.",
    "picture": "Jaccard index of the set of images with a predicted box and the set with a target.",
    "format": "1 if the response is in the prompt's grammar to the letter, else 0.",
    "s.d. over seeds": "Standard deviation, over training seeds, of the difference of two variants' mean F1.",
    "at least 3 times each": "Whether the mean F1 is three times that of every shortcut baseline, by their values.",
    SHORTCUTS["constant_box"]: "One box in every image, the best on validation samples: uses no image.",
    SHORTCUTS[
        "picture_prior"
    ]: "That box in the images that most often had targets, by kind and number of images: uses no image.",
    SHORTCUTS["blind"]: "The same model, all images of the query grey.",
    SHORTCUTS["shuffled"]: "The same model, with the images of another sample.",
    "neutral": "F1@0.5 where the query describes its targets and nothing is hard to see.",
    "perception": "F1@0.5 where the query describes its targets and something is hard to see: a small target, a "
    "crowded image, similar objects.",
    "one hop": "F1@0.5 where another image shows what is meant.",
    "more hops": "F1@0.5 where what is meant has to be located in other images over two hops or more.",
    "IOU@0.5": "MIG-Bench's accuracy: share of answers whose box has IoU of 0.5 or more, the mean over tasks.",
    "IOU@0.7": "The same at IoU 0.7.",
    "AVE_IOU": "MIG-Bench's mean IoU, over tasks.",
    "weighted_ap50": "MC-Bench's AP at IoU 0.5, weighted over its groups by its own script.",
    "image_accuracy": "MC-Bench's accuracy on whether an image has a target, by its script.",
    "mAP": "COCO's average precision over IoU 0.5 to 0.95, the mean over the data sets.",
    "AP50": "COCO's average precision at IoU 0.5, the mean over the data sets.",
    "accuracy": "Share of the questions with the right answer.",
    "gain": "After minus before, paired by prompt.",
    "peak memory, GB": "The largest memory of a run of the stage.",
    "difference": "Ours minus what it is compared with, in points, with its 95 % confidence interval.",
    "ours": "The score in per cent, with its 95 % confidence interval.",
}


def definition(head: str) -> str:
    """Of a table's head, by its text without arrows, else by its last word; empty where there is none."""
    text = head.rstrip(" ↑↓")
    return DEFINITIONS.get(text) or DEFINITIONS.get(text.rpartition(" ")[2], "")
