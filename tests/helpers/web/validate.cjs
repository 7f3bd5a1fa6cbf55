// Prints what Khronos' glTF validator says of a file, as JSON: node validate.cjs head.glb (gltf-validator in NODE_PATH).
const fs = require("fs");
const validator = require("gltf-validator");

validator
  .validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])), { maxIssues: 100 })
  .then((report) => console.log(JSON.stringify(report.issues)))
  .catch((error) => {
    console.error(String(error));
    process.exit(1);
  });
