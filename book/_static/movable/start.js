// Brings the movable plots of a page to life: controls, a drawing, and a sentence for those who cannot see it.
//
// A page holds <div class="movable plot-NAME"> with a still fallback inside; a NAME has letters alone, for docutils
// rewrites the rest. NAME.js sets window.MOVABLE.NAME to
//   controls: [{name, label, min, max, step, value} or {name, label, options, value}],
//   draw(state, colors, width): {traces, layout}   for drawing.js; width in pixels; or in its place
//   table(state): a table of numbers,
//   say(state): one sentence that tells what the drawing shows.
//
// Plain scripts, no modules: a browser loads no module from a page that was opened as a file.

window.MOVABLE = {};

(() => {
    const HERE = document.currentScript.src;
    const LIGHT = {blue: "#0072b2", vermilion: "#c25500", green: "#00805e", quiet: "#d8dee4"};
    const DARK = {blue: "#6cbcf0", vermilion: "#ffa15c", green: "#4fd1ae", quiet: "#3a424a"};
    const loaded = {};

    function load(file) {
        loaded[file] ??= new Promise((resolve, reject) => {
            const script = document.createElement("script");
            script.src = new URL(file, HERE);
            script.onload = resolve;
            script.onerror = reject;
            document.head.append(script);
        });
        return loaded[file];
    }

    function element(tag, properties, ...children) {
        const made = Object.assign(document.createElement(tag), properties);
        made.append(...children);
        return made;
    }

    function makeControl(spec, state, changed) {
        const shown = element("output", {}, spec.options ? "" : String(spec.value));
        const input = spec.options
            ? element("select", {}, ...spec.options.map((option) => element("option", {value: option}, option)))
            : element("input", {type: "range", min: spec.min, max: spec.max, step: spec.step});
        input.value = spec.value;
        input.addEventListener("input", () => {
            state[spec.name] = spec.options ? input.value : Number(input.value);
            if (!spec.options) shown.value = input.value;
            changed();
        });
        return element("label", {}, element("span", {}, spec.label), input, shown);
    }

    function colors() {
        const dark = document.documentElement.dataset.theme === "dark";
        const style = getComputedStyle(document.body);
        return {...(dark ? DARK : LIGHT), ink: style.color, paper: style.backgroundColor};
    }

    function drawPlot(drawing, plot, state) {
        const palette = colors();
        const {traces, layout} = plot.draw(state, palette, drawing.clientWidth);
        window.MOVABLE_DRAWING(drawing, traces, layout, palette);
        drawing.setAttribute("role", "img");
        drawing.setAttribute("aria-label", plot.say(state));
    }

    function bringToLife(place, plot) {
        const state = Object.fromEntries(plot.controls.map((control) => [control.name, control.value]));
        const drawing = element("div", {className: "movable-drawing"});
        const sentence = element("p", {className: "movable-sentence"});
        sentence.setAttribute("aria-live", "polite");
        const redraw = () => {
            if (plot.table) drawing.replaceChildren(plot.table(state));
            else drawPlot(drawing, plot, state);
            sentence.textContent = plot.say(state);
        };
        const controls = plot.controls.map((control) => makeControl(control, state, redraw));
        place.replaceChildren(element("div", {className: "movable-controls"}, ...controls), drawing, sentence);
        let width = drawing.clientWidth;
        new ResizeObserver(() => {
            if (drawing.clientWidth !== width) {
                width = drawing.clientWidth;
                redraw();
            }
        }).observe(drawing);
        new MutationObserver(redraw).observe(document.documentElement, {attributeFilter: ["data-theme"]});
        redraw();
    }

    async function wake(place) {
        const name = [...place.classList].find((each) => each.startsWith("plot-")).slice("plot-".length);
        await Promise.all([load("drawing.js"), load(`${name}.js`)]);
        bringToLife(place, window.MOVABLE[name]);
    }

    // Nothing is fetched before a plot comes near the screen.
    const near = new IntersectionObserver((seen) => {
        for (const {target, isIntersecting} of seen) {
            if (isIntersecting) {
                near.unobserve(target);
                wake(target);
            }
        }
    }, {rootMargin: "100% 0px"});
    document.querySelectorAll(".movable").forEach((place) => near.observe(place));
})();
