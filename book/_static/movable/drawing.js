// Draws what the movable plots need as SVG: lines and points over two axes, and words beside them.
//
// traces: [{mode: "lines", "markers" or "lines+markers", x, y, line: {color, width, dash}, marker: {size, color, symbol}}]
// layout: {height, margin: {l, r, t, b}, xaxis, yaxis, annotations: [{x, y, text, xanchor, yanchor, yshift, font: {color}}]}
// axis:   {range, type: "log", dtick, tickvals, ticktext, title: {text}, visible, showgrid, autorange: "reversed", scaleanchor}
// On an axis with type "log", range, dtick and annotations are exponents, and traces are values.

(() => {
    const DASHES = {solid: "", dash: "9 6", dot: "2 4"};
    const MARGIN = {l: 65, r: 10, t: 10, b: 50};
    const ANCHORS = {left: "start", center: "middle", right: "end"};

    function svg(tag, attributes, text) {
        const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
        for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
        if (text !== undefined) made.textContent = text;
        return made;
    }

    // A position on the axis is a value, or its exponent on a log axis.
    const place = (axis, value) => (axis.type === "log" ? Math.log10(value) : value);

    function rangeOf(axis, values) {
        if (axis.range) return axis.range;
        const ends = [Math.min(...values) - 0.6, Math.max(...values) + 0.6];
        return axis.autorange === "reversed" ? ends.reverse() : ends;
    }

    function ticksOf(axis, [from, to]) {
        if (axis.tickvals) return axis.tickvals.map((value, index) => [value, axis.ticktext[index]]);
        const step = axis.dtick ?? (to - from) / 6;
        const count = Math.floor((to - from) / step) + 1;
        const first = Math.ceil(from / step) * step;
        const ticks = [...Array(count).keys()].map((index) => first + index * step).filter((value) => value <= to);
        return ticks.map((value) => [value, axis.type === "log" ? `10${power(value)}` : String(Number(value.toFixed(2)))]);
    }

    const power = (number) => [...String(number)].map((sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻").join("");

    // Functions from positions on the axes to pixels; with scaleanchor a unit has the same length on both.
    function scales(layout, box, traces) {
        const x = rangeOf(layout.xaxis, traces.flatMap((trace) => trace.x));
        const y = rangeOf(layout.yaxis, traces.flatMap((trace) => trace.y));
        let [perX, perY] = [box.width / (x[1] - x[0]), box.height / (y[1] - y[0])];
        if (layout.yaxis.scaleanchor) perX = perY = Math.min(perX, perY);
        const middle = [(x[0] + x[1]) / 2, (y[0] + y[1]) / 2];
        return {
            x: (value) => box.left + box.width / 2 + (value - middle[0]) * perX,
            y: (value) => box.top + box.height / 2 - (value - middle[1]) * perY,
            ranges: {x, y},
        };
    }

    function drawAxes(layout, box, to, colors) {
        const made = [], {xaxis, yaxis} = layout, bottom = box.top + box.height;
        for (const [value, text] of xaxis.visible === false ? [] : ticksOf(xaxis, to.ranges.x)) {
            if (xaxis.showgrid !== false) made.push(svg("line", {x1: to.x(value), x2: to.x(value), y1: box.top, y2: bottom, stroke: colors.quiet}));
            made.push(svg("text", {x: to.x(value), y: bottom + 18, "text-anchor": "middle"}, text));
        }
        for (const [value, text] of yaxis.visible === false ? [] : ticksOf(yaxis, to.ranges.y)) {
            if (yaxis.showgrid !== false) made.push(svg("line", {x1: box.left, x2: box.left + box.width, y1: to.y(value), y2: to.y(value), stroke: colors.quiet}));
            made.push(svg("text", {x: box.left - 8, y: to.y(value) + 5, "text-anchor": "end"}, text));
        }
        const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
        if (xaxis.title) made.push(svg("text", {x, y: bottom + 40, "text-anchor": "middle"}, xaxis.title.text));
        if (yaxis.title) made.push(svg("text", {transform: `translate(16 ${y}) rotate(-90)`, "text-anchor": "middle"}, yaxis.title.text));
        return made;
    }

    function drawTrace({mode, x, y, line = {}, marker = {}}, layout, to) {
        const points = x.map((value, index) => [to.x(place(layout.xaxis, value)), to.y(place(layout.yaxis, y[index]))]);
        const look = {fill: "none", stroke: line.color, "stroke-width": line.width ?? 2, "stroke-dasharray": DASHES[line.dash ?? "solid"]};
        const lines = mode.includes("lines") ? [svg("polyline", {points: points.map((point) => point.join()).join(" "), ...look})] : [];
        if (!mode.includes("markers")) return lines;
        const of = (what, index) => (Array.isArray(what) ? what[index] : what);
        return [...lines, ...points.map((point, index) => mark(point, of(marker.size, index), of(marker.color, index), of(marker.symbol, index)))];
    }

    // A circle, a square, an outlined square, or a square with a star in it.
    function mark([x, y], size, color, symbol) {
        if (symbol === "circle" || !size) return svg("circle", {cx: x, cy: y, r: size / 2, fill: color});
        const side = {x: x - size / 2, y: y - size / 2, width: size, height: size, stroke: color, "stroke-width": 1.5};
        const square = svg("rect", {...side, fill: symbol === "square-open" ? "none" : color});
        if (symbol !== "star-square") return square;
        const both = svg("g", {});
        both.append(square, svg("text", {x, y: y + size * 0.36, "text-anchor": "middle", "font-size": size, style: "fill: var(--pst-color-background)"}, "★"));
        return both;
    }

    function write({x, y, text, xanchor = "center", yanchor = "middle", yshift = 0, font = {}}, to) {
        const down = {top: 16, middle: 5, bottom: -5}[yanchor];
        return svg("text", {x: to.x(x), y: to.y(y) - yshift + down, "text-anchor": ANCHORS[xanchor], style: `fill: ${font.color}`}, text);
    }

    window.MOVABLE_DRAWING = (drawing, traces, given, colors) => {
        const layout = {height: 340, xaxis: {}, yaxis: {}, annotations: [], ...given};
        const [margin, width] = [{...MARGIN, ...layout.margin}, drawing.clientWidth];
        const box = {left: margin.l, top: margin.t, width: width - margin.l - margin.r, height: layout.height - margin.t - margin.b};
        const to = scales(layout, box, traces);
        const picture = svg("svg", {width, height: layout.height, class: "movable-svg", "aria-hidden": "true"});
        picture.append(
            ...drawAxes(layout, box, to, colors),
            ...traces.flatMap((trace) => drawTrace(trace, layout, to)),
            ...layout.annotations.map((each) => write(each, to)),
        );
        drawing.replaceChildren(picture);
    };
})();
