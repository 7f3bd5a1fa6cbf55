// A lit stage of 512 x 512 pixels with a camera before a face, for the scripts beside it.
import * as THREE from "three";

export const told = new URLSearchParams(location.search);

export function stage(eyes) {
  const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
  renderer.setSize(512, 512);
  document.body.append(renderer.domElement);
  const scene = new THREE.Scene();
  scene.background = new THREE.Color(0x406080);
  const light = new THREE.DirectionalLight(0xffffff, 2.5);
  light.position.set(0.5, eyes + 1, 2);
  scene.add(light, new THREE.AmbientLight(0xffffff, 1.2));
  const camera = new THREE.PerspectiveCamera(30, 1, 0.01, 20);
  camera.position.set(0, eyes - 0.03, 0.6);
  camera.lookAt(0, eyes - 0.03, 0);
  const picture = () => {
    renderer.render(scene, camera);
    return renderer.domElement.toDataURL("image/png");
  };
  return { scene, picture };
}

export function meshes(root) {
  const found = [];
  root.traverse((node) => node.isMesh && found.push(node));
  return found;
}
