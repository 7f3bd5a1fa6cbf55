// Loads a GLB with three.js and tells its morph influences, its head's turn and a picture at each time asked for.
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { meshes, stage, told } from "/web/stage.js";

const gltf = await new GLTFLoader().loadAsync(`/files/${told.get("file")}`);
const { scene, picture } = stage(0);
scene.add(gltf.scene);
const mixer = new THREE.AnimationMixer(gltf.scene);
if (gltf.animations.length) mixer.clipAction(gltf.animations[0]).play();
const parts = meshes(gltf.scene);
const frames = told.get("times").split(",").map((time) => {
  mixer.setTime(Number(time));
  const first = parts[0];
  const influences = {};
  for (const [name, index] of Object.entries(first.morphTargetDictionary)) {
    influences[name] = parts.map((part) => part.morphTargetInfluences[index]);
  }
  const head = gltf.scene.getObjectByName("head").quaternion.toArray();
  return { influences, head, picture: picture() };
});
await window.answer({ frames, parts: parts.length, duration: gltf.animations[0]?.duration ?? 0 });
