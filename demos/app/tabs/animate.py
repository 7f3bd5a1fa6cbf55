"""Animate: a portrait speaks a recording or typed words, or repeats a performance."""

from __future__ import annotations

import gradio as gr

from demos.app.desk import Desk, told
from demos.app.engines import DRAWS, SPEAKS, avatar, speaker
from demos.app.memory import remember
from demos.app.mirror import mirror
from demos.app.parts import FACES, PORTRAIT, QUIET, SPEECH, WORK, line, names, read_face, sample, stem, stops
from demos.app.speak import speak, voices
from studio.errors import UsageError

TITLE = "Animate"
SIZES = ["as it is", "512", "720", "1080"]
NO_EMOTION = "none"


def build(desk: Desk) -> None:
    """The tab and its endpoint /animate."""
    from controls.expressions import emotion_names

    @told
    def animate(
        request: gr.Request,
        portrait: str,
        audio: str | None = None,
        text: str = "",
        voice: str = "en-us",
        driver: str | None = None,
        emotion: str = NO_EMOTION,
        strength: float = 0.5,
        blink: float = 1.0,
        gaze_motion: float = 1.0,
        head_motion: float = 1.0,
        intensity: float = 1.0,
        size: str = SIZES[0],
        face: str = "1",
        seed: float = 0,
        motion_file: bool = False,
        engine: str = "photo",
        speaker_model: str = "lips",
        progress=gr.Progress(),
    ) -> tuple[str, list[str], str]:
        """Make a portrait talk, or copy a performance onto it. Give audio, text or driver (a video).

        Args:
            portrait: a picture with a face.
            audio: speech, a sound file.
            text: words to say, where a synthesiser is installed.
            voice: of the synthesiser, such as en-us.
            driver: a video whose performance is copied.
            emotion: such as joy, or none.
            strength: of the emotion, 0 to 1.
            blink: 0 to 1, while it speaks.
            gaze_motion: 0 to 1, movements of the eyes while it speaks.
            head_motion: 0 to 1, movements of the head while it speaks.
            intensity: 0 to 2, of a copied performance.
            size: pixels of the longer side, or as it is.
            face: 1 is the largest; or all.
            seed: another number gives other blinks and nods.
            motion_file: also the motion, as Live Link Face CSV.
            engine: photo (embedded), or liveportrait where its files are installed.
            speaker_model: lips (embedded), or joyvasa where its files are installed.
        """
        from pipelines import TalkingPortraitPipeline

        text = (text or "").strip()
        if not portrait:
            raise UsageError("which portrait? Give a picture with a face")
        sources = [name for name, given in (("a recording", audio), ("text", text), ("a video", driver)) if given]
        if len(sources) != 1:
            what = f"{' and '.join(sources)} are given: clear all but one" if sources else "what shall it say?"
            raise UsageError(f"{what} Give a recording, type a text, or give a video to copy")
        limits = desk.limits
        limits.check_picture(portrait)
        limits.check_text(text)
        if driver:
            limits.check_video(driver)
        with desk.job(request, progress) as job:
            progress(None, desc="looking at the portrait")
            if text:
                audio = str(speak(text, job.new("speech.wav"), voice))
            if audio:
                limits.check_sound(audio)
            if driver:
                speaker_model = SPEAKS[0][1]
            life = {} if driver else dict(blink=blink, gaze_motion=gaze_motion, head_motion=head_motion)
            known = dict(transcript=text, language=voice) if text and speaker_model == SPEAKS[0][1] else {}
            says = speaker(speaker_model, int(seed or 0))
            take = TalkingPortraitPipeline(driver=says, avatar=avatar(engine))(
                portrait,
                audio=audio,
                driver=driver,
                emotion={emotion: strength} if emotion and emotion != NO_EMOTION else None,
                intensity=intensity,
                size=None if size in (None, "", SIZES[0]) else _size(size),
                face=read_face(face),
                seed=int(seed or 0),
                cancel=job.cancel,
                **life,
                **known,
            )
            made = job.new(f"{stem(portrait)}-animated.mp4")
            saved = take.save(made, progress=job.tell)
            files = [made]
            if motion_file:
                files.append(made.with_suffix(".csv"))
                take.save(files[-1])
            return str(made), names(files), line(saved)

    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            portrait = gr.Image(
                label="Portrait",
                type="filepath",
                image_mode=None,
                sources=["upload", "webcam"],
                height=300,
                render=False,
            )
            audio = gr.Audio(label="Speech", type="filepath", sources=["upload", "microphone"], render=False)
            sampled = sample([PORTRAIT, SPEECH], [portrait, audio], "The sample portrait and speech", "animate")
            portrait.render()
            with gr.Tabs() as kinds:
                with gr.Tab("Recording", id="recording"):
                    audio.render()
                with gr.Tab("Text"):
                    text = gr.Textbox(
                        label="Words to say",
                        value="",
                        lines=3,
                        max_length=desk.limits.letters,
                        placeholder="Hello! I can speak.",
                    )
                    spoken = voices()
                    voice = gr.Dropdown(
                        [(f"{words} ({name})", name) for name, words in spoken.items()] or ["en-us"],
                        value="en-us",
                        label="Voice",
                        info="" if spoken else "espeak-ng speaks typed words: apt-get install espeak-ng",
                        interactive=bool(spoken),
                    )
                with gr.Tab("Performance"):
                    driver = gr.Video(label="Video to copy", sources=["upload", "webcam"])
                with gr.Tab("Live"):
                    face = gr.Dropdown([*FACES, "all"], value="1", label="Face", info="the largest is 1", render=False)
                    mirror(desk, portrait, face)
            with gr.Accordion("Expression and life", open=False):
                emotion = gr.Dropdown([NO_EMOTION, *emotion_names()], value=NO_EMOTION, label="Emotion")
                strength = gr.Slider(0, 1, 0.5, step=0.05, label="Strength of the emotion")
                blink = gr.Slider(0, 1, 1, step=0.05, label="Blinks", info="while it speaks")
                gaze = gr.Slider(0, 1, 1, step=0.05, label="Movements of the eyes", info="while it speaks")
                nod = gr.Slider(0, 1, 1, step=0.05, label="Movements of the head", info="while it speaks")
                intensity = gr.Slider(0, 2, 1, step=0.05, label="Intensity", info="of a copied performance")
            with gr.Accordion("Engine", open=False):
                engine = gr.Dropdown(list(DRAWS), value="photo", label="What draws the face")
                speaks = gr.Dropdown(list(SPEAKS), value="lips", label="What turns speech into motion")
            with gr.Accordion("Picture", open=False):
                size = gr.Dropdown(SIZES, value=SIZES[0], label="Longer side", info="pixels", allow_custom_value=True)
                face.render()
                seed = gr.Number(0, label="Seed", precision=0, info="another number, other blinks and nods")
                motion = gr.Checkbox(False, label="Also the motion, as Live Link Face CSV")
        with gr.Column(scale=1, min_width=320):
            with gr.Row():
                go = gr.Button("Animate", variant="primary", elem_id="animate-go")
                stop = gr.Button("Stop", variant="stop", scale=0, min_width=96)
            video = gr.Video(label="Result", interactive=False, autoplay=True)
            files = gr.File(label="Download", file_count="multiple", interactive=False, elem_classes="files")
            summary = gr.Markdown(label="summary", elem_classes="summary")
    inputs = [portrait, audio, text, voice, driver, emotion, strength, blink, gaze, nod, intensity]
    inputs += [size, face, seed, motion, engine, speaks]
    event = go.click(animate, inputs, [video, files, summary], api_name="animate", show_progress_on=video, **WORK)
    stops(desk, stop, event)
    sampled.then(lambda: gr.Tabs(selected="recording"), None, kinds, **QUIET)
    kept = {"voice": voice, "emotion": emotion, "strength": strength, "blink": blink, "gaze": gaze, "nod": nod}
    kept |= {"intensity": intensity, "size": size, "seed": seed, "motion": motion, "engine": engine, "speaks": speaks}
    remember(desk.kept[TITLE], kept)


def _size(text: str) -> int:
    if not str(text).isdigit() or not 16 <= int(text) <= 4096:
        raise UsageError(f"size {text!r}: give a number of pixels from 16 to 4096")
    return int(text)
