// The interpreter (ast) evaluates Vega's expressions without eval, which the page's policy forbids.
// On a telephone, long titles of axes take several lines, and legends the whole width, one entry a line.
const LINE = 34;
const lines = (text) =>
  text.split(" ").reduce((found, word) => {
    const last = found[found.length - 1];
    return last && last.length + word.length < LINE ? [...found.slice(0, -1), `${last} ${word}`] : [...found, word];
  }, []);
function narrowed(node, channel = "") {
  if (!node || typeof node !== "object" || channel === "tooltip" || channel === "datasets") return;
  if (["x", "y"].includes(channel) && typeof node.title === "string" && node.title.length > LINE) {
    node.title = lines(node.title);
  }
  for (const [key, value] of Object.entries(node)) narrowed(value, Array.isArray(node) ? channel : key);
}
for (const figure of document.querySelectorAll("figure.figure")) {
  const spec = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const actions = { export: true, source: false, compiled: false, editor: false };
  const options = { ast: true, renderer: "svg", actions, downloadFileName: figure.id };
  if (window.innerWidth < 600) {
    const layout = { bottom: { anchor: "start", bounds: "full", direction: "vertical" } };
    Object.assign(spec.config.legend, { columns: 1, labelLimit: 290, labelFontSize: 11, layout });
    Object.assign(spec.config.axis, { labelLimit: 140, labelFontSize: 11 });
    narrowed(spec);
  }
  figure.classList.add("drawn"); // a chart takes its width from its place, which must be there
  vegaEmbed(figure.querySelector(".live"), spec, options).catch((error) => {
    figure.classList.remove("drawn");
    console.error(`figure ${figure.id}: ${error}`);
  });
}
