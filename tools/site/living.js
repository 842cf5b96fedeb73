// Draws a living figure in the colours of the theme, and again when the reader changes it.
const INK = {light: "#1d2326", dark: "#d9dcd8"}, GRID = {light: "#e6e6e6", dark: "#363c40"}
const DARK = {
  "#0b6e7f": "#5fc3d3", "#0b7285": "#5fc3d3", "#a61e4d": "#f08cae", "#b5451f": "#f2a07b", "#e8590c": "#f5a26b",
  "#5f3dc4": "#b3a1f5", "#2b8a3e": "#7fcf8f", "#868e96": "#9aa3ab", "#6b7378": "#9aa3ab", "#1d2326": "#d9dcd8"
}

// On slides a figure is enlarged, and read from afar.
const room = document.querySelector(".reveal")

function themed(spec, theme) {
  let text = JSON.stringify(spec)
  if (theme == "dark") for (const [light, dark] of Object.entries(DARK)) text = text.replaceAll(`"${light}"`, `"${dark}"`)
  const {config = {}, ...chart} = JSON.parse(text), ink = INK[theme]
  const axis = {...(room ? {labelFontSize: 13, titleFontSize: 13} : {}), labelColor: ink, titleColor: ink, gridColor: GRID[theme], domainColor: ink, tickColor: ink}
  const over = {axis, legend: {labelColor: ink, titleColor: ink}, title: {color: ink, subtitleColor: ink}, header: {labelColor: ink, titleColor: ink}}
  for (const key in over) over[key] = {...config[key], ...over[key]}
  return {...chart, background: null, config: {...config, ...over, view: {...config.view, stroke: null}, text: {color: ink, ...config.text}}}
}

function living(id, spec) {
  const place = document.getElementById(id), params = (spec.params ?? []).map(p => p.name)
  let view, theme
  async function draw() {
    const now = document.body.classList.contains("quarto-dark") ? "dark" : "light"
    if (now == theme) return
    theme = now
    const kept = view ? params.map(name => [name, view.signal(name)]) : []
    const drawn = await vegaEmbed(place, themed(spec, theme), {actions: false, renderer: room ? "svg" : "canvas"})
    view = drawn.view
    for (const choices of place.querySelectorAll(".vega-bind-radio")) {
      choices.role = "radiogroup"
      choices.ariaLabel = choices.previousElementSibling.textContent
    }
    for (const [name, value] of kept) view.signal(name, value)
    await view.runAsync()
  }
  draw()
  new MutationObserver(draw).observe(document.body, {attributeFilter: ["class"]})
}
