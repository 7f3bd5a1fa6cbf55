// Loads a VRM with three-vrm and tells what its expressions, gaze and bones do.
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";
import { meshes, stage, told } from "/web/stage.js";

const loader = new GLTFLoader();
loader.register((parser) => new VRMLoaderPlugin(parser));
const gltf = await loader.loadAsync(`/files/${told.get("file")}`);
const vrm = gltf.userData.vrm;
const bone = (name) => vrm.humanoid.getRawBoneNode(name);
const place = (name) => bone(name).getWorldPosition(new THREE.Vector3()).toArray();
vrm.scene.updateMatrixWorld(true);
const { scene, picture } = stage(told.has("eyes") ? Number(told.get("eyes")) : place("leftEye")[1]);
scene.add(vrm.scene);
vrm.update(0);

const places = Object.fromEntries(Object.keys(vrm.humanoid.humanBones).map((name) => [name, place(name)]));
const parts = meshes(vrm.scene);
const shown = () => {
  const points = [];
  const at = new THREE.Vector3();
  for (const part of parts) {
    part.updateMatrixWorld(true);
    const count = part.geometry.attributes.position.count;
    for (let i = 0; i < count; i += 7) points.push(part.getVertexPosition(i, at).toArray());
    break; // the others share its vertices
  }
  return points;
};
const furthest = (a, b) => Math.max(...a.map((p, i) => Math.hypot(p[0] - b[i][0], p[1] - b[i][1], p[2] - b[i][2])));

const rest = shown();
const manager = vrm.expressionManager;
const moved = {};
const pictures = { rest: picture() };
for (const expression of manager.expressions) {
  const name = expression.expressionName;
  manager.setValue(name, 1);
  vrm.update(0);
  moved[name] = furthest(shown(), rest);
  if ((told.get("pictures") ?? "").split(",").includes(name)) pictures[name] = picture();
  manager.setValue(name, 0);
  vrm.update(0);
}
const influences = {};
manager.setValue("aa", 0.5);
vrm.update(0);
for (const [name, index] of Object.entries(parts[0].morphTargetDictionary)) {
  influences[name] = parts[0].morphTargetInfluences[index];
}
manager.setValue("surprised", 1);
vrm.update(0);
const overridden = parts[0].morphTargetInfluences[parts[0].morphTargetDictionary["mouthUpperUpLeft"]];
manager.setValue("aa", 0);
manager.setValue("surprised", 0);

const looks = {};
for (const [yaw, pitch] of [[20, 0], [0, 15], [80, 0]]) {
  vrm.lookAt.yaw = yaw;
  vrm.lookAt.pitch = pitch;
  vrm.update(0);
  looks[`${yaw},${pitch}`] = Object.fromEntries(
    ["leftEye", "rightEye"].filter(bone).map((name) => [name, bone(name).quaternion.toArray()]),
  );
}
vrm.lookAt.yaw = vrm.lookAt.pitch = 0;

vrm.humanoid.getNormalizedBoneNode("head").rotation.y = 0.5;
vrm.update(0);
pictures.turned = picture();
const turned = furthest(shown(), rest);
await window.answer({
  expressions: manager.expressions.map((e) => e.expressionName),
  presets: Object.keys(manager.presetExpressionMap),
  custom: Object.keys(manager.customExpressionMap),
  moved,
  influences,
  overridden,
  looks,
  look: { type: vrm.lookAt.applier.constructor.name, offset: vrm.lookAt.offsetFromHeadBone.toArray() },
  turned,
  places,
  meta: vrm.meta,
  firstPerson: vrm.firstPerson?.meshAnnotations?.length ?? 0,
  pictures,
});
