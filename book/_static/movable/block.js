// Every value and every gradient of y = x + ReLU(n) B with n = LN(x), for three inputs that move; a table, no drawing.
//
// As in the chapter: gain 2, bias 1, B moves each number one place to the left, and the loss is y1 + y2.

(() => {
    const EPS = 1e-5, GAIN = 2, BIAS = 1, DY = [1, 1, 0];
    const sum = (row) => row.reduce((total, each) => total + each, 0);
    const left = (row) => [row[1], row[2], row[0]];
    const right = (row) => [row[2], row[0], row[1]];

    const controls = [
        ...[1, 2, 3].map((place) => ({name: `x${place}`, label: `Input x${place}`, min: -4, max: 4, step: 0.5, value: place})),
        {name: "shortcut", label: "Shortcut", options: ["on", "off"], value: "on"},
    ];

    function compute({x1, x2, x3, shortcut}) {
        const x = [x1, x2, x3], on = shortcut === "on" ? 1 : 0;
        const mu = sum(x) / 3;
        const c = x.map((each) => each - mu);
        const v = sum(c.map((each) => each * each)) / 3;
        const s = Math.sqrt(v + EPS);
        const xHat = c.map((each) => each / s);
        const n = xHat.map((each) => GAIN * each + BIAS);
        const r = n.map((each) => Math.max(each, 0));
        const f = left(r);
        const y = f.map((each, i) => on * x[i] + each);

        const dr = right(DY);
        const dn = dr.map((each, i) => n[i] > 0 ? each : 0);
        const dxHat = dn.map((each) => GAIN * each);
        const ds = -sum(dxHat.map((each, i) => each * c[i])) / s ** 2;
        const dv = ds / (2 * s);
        const dc = dxHat.map((each, i) => each / s + 2 / 3 * c[i] * dv);
        const dmu = -sum(dc);
        const branch = dc.map((each) => each + dmu / 3);
        const dx = branch.map((each, i) => each + on * DY[i]);
        return {
            x: [x, dx], "μ": [[mu], [dmu]], c: [c, dc], v: [[v], [dv]], "σ": [[s], [ds]],
            "x̂": [xHat, dxHat], n: [n, dn], r: [r, dr], f: [f, DY], y: [y, DY], branch,
        };
    }

    // Two decimals, a true minus, and no minus before a zero.
    function write(number) {
        const text = Math.abs(number) >= 100 ? number.toFixed(0) : number.toFixed(2);
        return text.replace(/^-(?=0\.00$)/, "").replace("-", "−");
    }

    function cells(row, hue) {
        const shown = row.length === 1 ? [null, row[0], null] : row;
        return shown.map((number) => {
            const cell = document.createElement("td");
            if (number === null) return cell;
            cell.textContent = write(number);
            const share = Math.round(40 * Math.min(Math.abs(number) / 4, 1));
            cell.style.background = `color-mix(in srgb, ${hue} ${share}%, transparent)`;
            return cell;
        });
    }

    function heads(...texts) {
        return texts.map(([text, columns, scope]) =>
            Object.assign(document.createElement("th"), {textContent: text, colSpan: columns, scope}));
    }

    function table(state) {
        const {branch, ...rows} = compute(state);
        const made = document.createElement("table");
        made.className = "movable-block";
        made.createTHead().insertRow().append(...heads(["", 1, "col"], ["value", 3, "colgroup"], ["gradient", 3, "colgroup"]));
        made.tHead.rows[0].cells[0].textContent = "step";
        const body = made.createTBody();
        for (const [name, [value, gradient]] of Object.entries(rows)) {
            body.insertRow().append(...heads([name, 1, "row"]), ...cells(value, "#56b4e9"), ...cells(gradient, "#e69f00"));
        }
        return made;
    }

    function say(state) {
        const {branch, ...rows} = compute(state);
        const row = (numbers) => `(${numbers.map(write).join(", ")})`;
        const past = state.shortcut === "on" ? `${row(DY)} past the branch and ` : "";
        return `Forward, x = ${row(rows.x[0])} becomes y = ${row(rows.y[0])}. `
            + `Back come ${past}${row(branch)} through it: dx = ${row(rows.x[1])}.`;
    }

    window.MOVABLE.block = {controls, table, say};
})();
