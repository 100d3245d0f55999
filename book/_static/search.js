// What the search page does beyond Sphinx. summaries.js, which the build writes, says what each page is about, and
// which chapters speak most of a word.

(() => {
    const NAMES = {γ: "gamma", β: "beta", ε: "eps", σ: "sigma", μ: "mu", λ: "lambda"};
    const OBJECT = 1 / 4; // of its score: who asks for a word wants to read of it before they see a signature
    const LEADS = [20, 14, 8];
    const query = Search.query;
    let words = [];

    // Two spellings are one word, and a letter of a formula is its name.
    Search.query = (asked) => {
        const meant = asked.replace(/warmup/gi, "warm-up").replace(/[γβεσμλ]/g, (letter) => NAMES[letter]);
        words = meant.toLowerCase().match(/\p{L}{2,}/gu) ?? [];
        query(meant);
    };
    Scorer.score = ([page, , , object, score]) => {
        const places = words.map((word) => (window.LEADING.words[word] ?? []).indexOf(window.LEADING.pages.indexOf(page)));
        const leads = places.map((place) => LEADS[place] ?? 0);
        return object ? score * OBJECT : score + Math.max(0, ...leads);
    };

    // A browser fetches no neighbours of a page that is opened as a file: a hit shows what its page is about.
    if (location.protocol === "file:") {
        const folder = new URL(".", location).pathname.length;
        window.fetch = async (page) => new Response(window.SUMMARIES[new URL(page, location).pathname.slice(folder)]);
        Search.makeSearchSummary = (text) => {
            const summary = document.createElement("p");
            summary.className = "context";
            summary.textContent = text;
            return summary;
        };
    }
})();
