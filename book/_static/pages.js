// What every page does when a button is pressed, and when it is printed. The policy of a page allows no handler in
// its text: the build turns onclick="window.print()" into data-press="window.print".

(() => {
    const does = {toggleFullScreen: () => window.toggleFullScreen(), "window.print": () => window.print()};
    document.addEventListener("click", (event) => does[event.target.closest("[data-press]")?.dataset.press]?.());

    // On paper the page is light, and nothing on it is folded.
    const root = document.documentElement, opened = [];
    let theme;
    addEventListener("beforeprint", () => {
        theme = root.dataset.theme;
        root.dataset.theme = "light";
        document.querySelectorAll("article details:not([open], .toggle-details)").forEach((details) => {
            details.open = true;
            opened.push(details);
        });
    });
    addEventListener("afterprint", () => {
        root.dataset.theme = theme;
        opened.splice(0).forEach((details) => { details.open = false; });
    });
})();
