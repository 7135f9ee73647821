// The interpreter (ast) evaluates Vega's expressions without eval, which the page's policy forbids.
for (const figure of document.querySelectorAll("figure.figure")) {
  const spec = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const actions = { export: true, source: false, compiled: false, editor: false };
  const options = { ast: true, renderer: "svg", actions, downloadFileName: figure.id };
  if (window.innerWidth < 600) {
    Object.assign(spec.config.legend, { columns: 1, labelLimit: 180 });
    spec.config.axis.labelLimit = 140;
  }
  figure.classList.add("drawn"); // a chart takes its width from its place, which must be there
  vegaEmbed(figure.querySelector(".live"), spec, options).catch((error) => {
    figure.classList.remove("drawn");
    console.error(`figure ${figure.id}: ${error}`);
  });
}
