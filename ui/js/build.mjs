// Bundle the viewer into the wheel: npm ci && npm run build. The result is committed, so that
// installing needs neither node nor a network; a test rebuilds it where node is installed.
import { readFile } from "node:fs/promises";
import { build } from "esbuild";

// NiiVue reads Zarr through two large libraries; the viewer shows NIfTI alone.
const withoutZarr = {
  name: "without-zarr",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(zarrita|numcodecs)(\/|$)/ }, ({ path }) => ({ path, namespace: "absent" }));
    onLoad({ filter: /.*/, namespace: "absent" }, () => ({ contents: "module.exports = {};", loader: "js" }));
  },
};

// NiiVue 0.69 computes a gradient volume at every texture update, also where no light needs it: five
// times the time, and 4 to 8 bytes a voxel of graphics memory. This makes it wait until it is needed.
const EAGER = "this.volumeTexture = outTexture;\n      this.gradientTexture = gradientGL({";
const LAZY = "this.volumeTexture = outTexture;\n      if (this.gradientTextureAmount > 0) this.gradientTexture = gradientGL({";
const lazyGradient = {
  name: "lazy-gradient",
  setup({ onLoad }) {
    onLoad({ filter: /@niivue\/niivue\/build\/niivue\/index\.js$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      if (source.split(EAGER).length !== 2) {
        throw new Error("NiiVue has changed where it computes gradients; look at build.mjs");
      }
      return { contents: source.replace(EAGER, LAZY), loader: "js" };
    });
  },
};

const options = {
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  charset: "utf8",
  logLevel: "warning",
  plugins: [withoutZarr, lazyGradient],
};
const out = process.argv[2] ?? "../src/medseg_ui/static";
await build({ ...options, entryPoints: ["src/viewer.js", "src/drop.js"], outdir: out });
