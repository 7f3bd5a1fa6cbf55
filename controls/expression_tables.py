"""What words, action units and emotions do to a face, as ARKit weights: data only, used by `controls.expressions`.

A name that ends in `*` stands for its Left and its Right shape. All numbers are the weight at the full
setting; they scale linearly. Sources: Ekman, Friesen & Hager, FACS manual (2002) for what an action unit
does; EMFACS (Friesen & Ekman 1983) for the AUs of the basic emotions; Du, Tao & Martinez, "Compound facial
expressions of emotion", PNAS 2014, for the compound ones. The intensities are this project's own.
"""

from __future__ import annotations

FACS_LETTERS = {"A": 0.15, "B": 0.35, "C": 0.55, "D": 0.8, "E": 1.0}
"""FACS intensities: trace, slight, marked, severe, maximum."""

ALIASES: dict[str, dict[str, float]] = {
    # mouth
    "smile": {"mouthSmile*": 1.0, "cheekSquint*": 0.45, "eyeSquint*": 0.12},
    "smile_left": {"mouthSmileLeft": 1.0, "cheekSquintLeft": 0.45, "eyeSquintLeft": 0.12},
    "smile_right": {"mouthSmileRight": 1.0, "cheekSquintRight": 0.45, "eyeSquintRight": 0.12},
    "smirk": {"mouthSmileLeft": 0.75, "mouthDimpleLeft": 0.35, "cheekSquintLeft": 0.2},
    "grin": {
        "mouthSmile*": 1.0,
        "cheekSquint*": 0.6,
        "eyeSquint*": 0.2,
        "mouthUpperUp*": 0.3,
        "mouthLowerDown*": 0.35,
        "jawOpen": 0.08,
    },
    "frown": {"mouthFrown*": 1.0, "mouthShrugLower": 0.25},
    "pout": {"mouthShrugLower": 0.8, "mouthPucker": 0.35, "mouthFrown*": 0.3},
    "pucker": {"mouthPucker": 1.0},
    "kiss": {"mouthPucker": 1.0, "mouthFunnel": 0.15, "eyeBlink*": 0.12},
    "funnel": {"mouthFunnel": 1.0, "jawOpen": 0.1},
    "jaw_open": {"jawOpen": 1.0},
    "jaw_left": {"jawLeft": 1.0},
    "jaw_right": {"jawRight": 1.0},
    "jaw_forward": {"jawForward": 1.0},
    "mouth_left": {"mouthLeft": 1.0},
    "mouth_right": {"mouthRight": 1.0},
    "mouth_close": {"mouthClose": 1.0},
    "press": {"mouthPress*": 1.0, "mouthRollLower": 0.2, "mouthRollUpper": 0.2},
    "roll_lips": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "stretch": {"mouthStretch*": 1.0},
    "dimple": {"mouthDimple*": 1.0},
    "show_teeth": {"mouthUpperUp*": 0.7, "mouthLowerDown*": 0.7, "mouthStretch*": 0.2},
    "upper_lip_up": {"mouthUpperUp*": 1.0},
    "lower_lip_down": {"mouthLowerDown*": 1.0},
    "puff": {"cheekPuff": 1.0, "mouthPress*": 0.25},
    "tongue": {"tongueOut": 1.0, "jawOpen": 0.3},
    # nose and cheeks
    "sneer": {"noseSneer*": 1.0, "mouthUpperUp*": 0.3},
    "cheek_raise": {"cheekSquint*": 1.0},
    # eyes
    "blink": {"eyeBlink*": 1.0},
    "wink_left": {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.4, "mouthSmileLeft": 0.15},
    "wink_right": {"eyeBlinkRight": 1.0, "cheekSquintRight": 0.4, "mouthSmileRight": 0.15},
    "blink_left": {"eyeBlinkLeft": 1.0},
    "blink_right": {"eyeBlinkRight": 1.0},
    "squint": {"eyeSquint*": 1.0, "cheekSquint*": 0.3},
    "eyes_wide": {"eyeWide*": 1.0},
    "look_left": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "look_right": {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0},
    "look_up": {"eyeLookUp*": 1.0},
    "look_down": {"eyeLookDown*": 1.0},
    # brows
    "brow_up": {"browInnerUp": 1.0, "browOuterUp*": 1.0},
    "brow_down": {"browDown*": 1.0},
    "brow_inner_up": {"browInnerUp": 1.0},
    "brow_outer_up": {"browOuterUp*": 1.0},
    "brow_up_left": {"browOuterUpLeft": 1.0},
    "brow_up_right": {"browOuterUpRight": 1.0},
    "worry": {"browInnerUp": 1.0, "browDown*": 0.35},
}
"""Everyday words for a slider; left and right are the subject's own."""

SYNONYMS = {
    "open_mouth": "jaw_open",
    "mouth_open": "jaw_open",
    "jaw": "jaw_open",
    "close_mouth": "mouth_close",
    "sad_mouth": "frown",
    "eyes_closed": "blink",
    "close_eyes": "blink",
    "wide_eyes": "eyes_wide",
    "brows_up": "brow_up",
    "raise_brows": "brow_up",
    "eyebrows_up": "brow_up",
    "brows_down": "brow_down",
    "lower_brows": "brow_down",
    "eyebrows_down": "brow_down",
    "puff_cheeks": "puff",
    "press_lips": "press",
    "nose_wrinkle": "sneer",
    "teeth": "show_teeth",
    "gaze_up": "look_up",
    "gaze_down": "look_down",
}

ACTION_UNITS: dict[str, tuple[str, dict[str, float]]] = {
    "1": ("inner brow raiser", {"browInnerUp": 1.0}),
    "2": ("outer brow raiser", {"browOuterUp*": 1.0}),
    "4": ("brow lowerer", {"browDown*": 1.0}),
    "5": ("upper lid raiser", {"eyeWide*": 1.0}),
    "6": ("cheek raiser", {"cheekSquint*": 1.0, "eyeSquint*": 0.25}),
    "7": ("lid tightener", {"eyeSquint*": 1.0}),
    "8": ("lips toward each other", {"mouthClose": 1.0}),
    "9": ("nose wrinkler", {"noseSneer*": 1.0, "mouthUpperUp*": 0.25, "browDown*": 0.15}),
    "10": ("upper lip raiser", {"mouthUpperUp*": 1.0, "noseSneer*": 0.2}),
    "11": ("nasolabial deepener", {"mouthUpperUp*": 0.3, "noseSneer*": 0.3}),
    "12": ("lip corner puller", {"mouthSmile*": 1.0}),
    "13": ("sharp lip puller", {"mouthSmile*": 0.65, "cheekPuff": 0.15}),
    "14": ("dimpler", {"mouthDimple*": 1.0, "mouthPress*": 0.15}),
    "15": ("lip corner depressor", {"mouthFrown*": 1.0}),
    "16": ("lower lip depressor", {"mouthLowerDown*": 1.0}),
    "17": ("chin raiser", {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.35}),
    "18": ("lip pucker", {"mouthPucker": 1.0}),
    "19": ("tongue show", {"tongueOut": 1.0, "jawOpen": 0.3}),
    "20": ("lip stretcher", {"mouthStretch*": 1.0}),
    "22": ("lip funneler", {"mouthFunnel": 1.0}),
    "23": ("lip tightener", {"mouthPress*": 0.45, "mouthRollUpper": 0.35, "mouthRollLower": 0.35}),
    "24": ("lip pressor", {"mouthPress*": 1.0, "mouthRollUpper": 0.15, "mouthRollLower": 0.15}),
    "25": ("lips part", {"mouthLowerDown*": 0.35, "mouthUpperUp*": 0.15, "jawOpen": 0.05}),
    "26": ("jaw drop", {"jawOpen": 0.45}),
    "27": ("mouth stretch", {"jawOpen": 1.0}),
    "28": ("lip suck", {"mouthRollUpper": 1.0, "mouthRollLower": 1.0}),
    "29": ("jaw thrust", {"jawForward": 1.0}),
    "30": ("jaw sideways", {"jaw+": 1.0}),
    "32": ("lip bite", {"mouthRollLower": 0.9, "jawOpen": 0.05}),
    "33": ("cheek blow", {"cheekPuff": 0.85, "mouthFunnel": 0.2}),
    "34": ("cheek puff", {"cheekPuff": 1.0, "mouthPress*": 0.25}),
    "41": ("lid droop", {"eyeBlink*": 0.3}),
    "42": ("slit", {"eyeBlink*": 0.6, "eyeSquint*": 0.4}),
    "43": ("eyes closed", {"eyeBlink*": 1.0}),
    "44": ("squint", {"eyeSquint*": 1.0, "eyeBlink*": 0.2, "browDown*": 0.2}),
    "45": ("blink", {"eyeBlink*": 1.0}),
    "46": ("wink", {"eyeBlink+": 1.0, "cheekSquint+": 0.4}),
    "61": ("eyes turn left", {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0}),
    "62": ("eyes turn right", {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0}),
    "63": ("eyes up", {"eyeLookUp*": 1.0}),
    "64": ("eyes down", {"eyeLookDown*": 1.0}),
    "65": ("walleye", {"eyeLookOut*": 1.0}),
    "66": ("cross-eye", {"eyeLookIn*": 1.0}),
}
"""AU number: its FACS name and shapes. `+` instead of `*` marks an AU that has no two-sided form."""

UNSHOWN_UNITS = {
    **dict.fromkeys(("51", "52", "53", "54", "55", "56", "57", "58"), "it moves the head: use yaw, pitch and roll"),
    **dict.fromkeys(("21", "31", "35", "36", "37", "38", "39"), "none of the 52 shapes shows it"),
}

EMOTIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    # the basic seven
    "joy": {"6": 0.75, "12": 0.95, "25": 0.4},
    "sadness": {"1": 0.95, "4": 0.3, "15": 0.75, "17": 0.35, "41": 0.35},
    "anger": {"4": 1.0, "5": 0.35, "7": 0.65, "23": 0.65, "24": 0.35},
    "fear": {"1": 0.85, "2": 0.2, "4": 0.45, "5": 1.0, "20": 0.9, "25": 0.5, "26": 0.2},
    "disgust": {"9": 0.95, "10": 0.75, "15": 0.3, "17": 0.45},
    "surprise": {"1": 0.8, "2": 1.0, "5": 0.5, "25": 0.2, "26": 1.0},
    "contempt": {"R12": 0.45, "R14": 0.8, "L7": 0.15, "R7": 0.15},
    # compound
    "happily_surprised": {"1": 0.8, "2": 0.85, "5": 0.4, "12": 0.8, "25": 0.5, "26": 0.55},
    "happily_disgusted": {"6": 0.5, "9": 0.4, "10": 0.6, "12": 0.7, "25": 0.4},
    "sadly_fearful": {"1": 0.9, "4": 0.5, "5": 0.45, "15": 0.35, "20": 0.6, "25": 0.4},
    "sadly_angry": {"4": 0.9, "7": 0.4, "15": 0.75, "17": 0.4},
    "sadly_surprised": {"1": 0.95, "4": 0.35, "5": 0.3, "25": 0.4, "26": 0.6},
    "sadly_disgusted": {"1": 0.4, "4": 0.6, "9": 0.4, "10": 0.6, "15": 0.5, "17": 0.3},
    "fearfully_angry": {"4": 0.85, "5": 0.65, "7": 0.3, "10": 0.25, "20": 0.65, "25": 0.5},
    "fearfully_surprised": {"1": 0.9, "2": 0.75, "5": 0.95, "20": 0.6, "25": 0.4, "26": 0.5},
    "fearfully_disgusted": {"1": 0.65, "4": 0.5, "5": 0.4, "9": 0.35, "10": 0.7, "20": 0.55, "25": 0.4},
    "angrily_surprised": {"2": 0.3, "4": 0.85, "5": 0.6, "25": 0.4, "26": 0.75},
    "angrily_disgusted": {"4": 0.9, "7": 0.5, "9": 0.55, "10": 0.7, "17": 0.5},
    "disgustedly_surprised": {"1": 0.6, "2": 0.65, "5": 0.6, "9": 0.3, "10": 0.75, "26": 0.25},
    "appalled": {"1": 0.3, "4": 0.6, "5": 0.3, "9": 0.5, "10": 0.7, "17": 0.3},
    "hatred": {"4": 0.95, "7": 0.6, "9": 0.25, "10": 0.65, "17": 0.35, "24": 0.3},
    "awed": {"1": 0.7, "2": 0.7, "5": 0.65, "25": 0.4, "26": 0.35},
    # moods
    "calm": {"12": 0.12, "41": 0.25},
    "relaxed": {"6": 0.15, "12": 0.25, "41": 0.4},
    "amused": {"6": 0.5, "12": 0.6, "14": 0.25},
    "excited": {"1": 0.4, "2": 0.5, "5": 0.45, "6": 0.5, "12": 0.85, "25": 0.5},
    "proud": {"6": 0.2, "12": 0.35, "14": 0.2, "17": 0.25, "41": 0.15},
    "interested": {"1": 0.35, "2": 0.45, "5": 0.25, "12": 0.15},
    "confused": {"L4": 0.6, "R4": 0.8, "L2": 0.6, "7": 0.35, "14": 0.25},
    "thoughtful": {"4": 0.35, "7": 0.3, "14": 0.3, "63": 0.25, "61": 0.3},
    "skeptical": {"L2": 0.85, "R4": 0.5, "7": 0.3, "L14": 0.5},
    "determined": {"4": 0.6, "7": 0.4, "17": 0.25, "24": 0.5},
    "worried": {"1": 0.8, "4": 0.45, "20": 0.2, "24": 0.2},
    "bored": {"15": 0.25, "17": 0.15, "41": 0.9, "64": 0.15},
    "tired": {"1": 0.2, "15": 0.2, "41": 1.0, "43": 0.4},
    "embarrassed": {"1": 0.25, "12": 0.4, "24": 0.45, "64": 0.45},
    "pain": {"4": 0.9, "6": 0.75, "7": 0.7, "9": 0.5, "10": 0.5, "20": 0.35, "25": 0.35, "43": 0.55},
    "laughing": {"6": 1.0, "12": 1.0, "25": 0.9, "26": 0.9},
    "crying": {"1": 0.95, "4": 0.55, "6": 0.6, "15": 0.85, "17": 0.6, "20": 0.3, "25": 0.3},
}
"""Emotion: its action units and their intensity when the emotion is full."""

EMOTION_SYNONYMS = {
    "happy": "joy",
    "happiness": "joy",
    "sad": "sadness",
    "angry": "anger",
    "afraid": "fear",
    "fearful": "fear",
    "scared": "fear",
    "disgusted": "disgust",
    "surprised": "surprise",
    "contemptuous": "contempt",
    "amazed": "awed",
    "awe": "awed",
    "hate": "hatred",
    "curious": "interested",
    "sceptical": "skeptical",
    "thinking": "thoughtful",
    "sleepy": "tired",
    "laugh": "laughing",
    "cry": "crying",
    "concerned": "worried",
}

OPPOSED: dict[str, dict[str, float]] = {
    # a shape that is added: what it takes out of the same shape's opponents that the face already shows
    "mouthSmile*": {"mouthFrown*": 1.0, "mouthPucker": 0.8, "mouthFunnel": 0.8, "mouthPress*": 0.5},
    "mouthFrown*": {"mouthSmile*": 1.0, "mouthDimple*": 1.0},
    "mouthPucker": {"mouthSmile*": 0.9, "mouthDimple*": 0.9, "mouthStretch*": 0.9},
    "mouthFunnel": {"mouthSmile*": 0.7, "mouthDimple*": 0.7, "mouthStretch*": 0.7},
    "mouthPress*": {"mouthSmile*": 0.6, "mouthDimple*": 0.6, "mouthUpperUp*": 0.8, "mouthLowerDown*": 0.8},
    "mouthStretch*": {"mouthSmile*": 0.5, "mouthPucker": 0.9},
    "browDown*": {"browInnerUp": 0.8, "browOuterUp*": 0.9},
    "browInnerUp": {"browDown*": 0.4},
    "browOuterUp*": {"browDown*": 0.4},
    "eyeWide*": {"eyeSquint*": 0.9},
    "eyeSquint*": {"eyeWide*": 0.9},
}
"""Muscles that pull against each other: one that works makes the other rest (Sherrington's reciprocal innervation)."""
