// What the page does beyond HTML: all sections fold at once and open for print, links open what they lead to, the
// contents mark where one is, and definitions show on hover (on click, tap and Enter they do without a script).
"use strict";
(() => {
  const sections = [...document.querySelectorAll("details.section")];
  const links = [...document.querySelectorAll("nav a")];
  const fold = document.querySelector("nav .fold");

  function name() {
    if (fold) fold.textContent = sections.every((each) => each.open) ? "Fold all" : "Unfold all";
  }

  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || !target.matches("details")) return;
    target.open = true;
    target.scrollIntoView();
  }

  if (fold) {
    fold.hidden = false;
    fold.addEventListener("click", () => {
      const open = !sections.every((each) => each.open);
      for (const each of sections) each.open = open;
    });
  }
  for (const each of sections) each.addEventListener("toggle", name);
  for (const link of links) link.addEventListener("click", () => setTimeout(reveal));
  addEventListener("hashchange", reveal);

  let before = [];
  addEventListener("beforeprint", () => {
    before = [...document.querySelectorAll("details:not([open])")];
    for (const each of before) each.open = true;
  });
  addEventListener("afterprint", () => before.forEach((each) => { each.open = false; }));

  function mark() {
    const passed = sections.filter((each) => each.getBoundingClientRect().top < innerHeight / 3);
    const here = passed.length ? passed[passed.length - 1].id : "";
    for (const link of links) {
      if (link.hash !== `#${here}`) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "location");
        const list = link.closest("nav"); // not scrollIntoView, which would move the page as well
        list.scrollTo({ left: link.offsetLeft - list.clientWidth / 2, top: link.offsetTop - list.clientHeight / 2 });
      }
    }
  }
  let due = false;
  addEventListener("scroll", () => {
    if (!due) requestAnimationFrame(() => { due = false; mark(); });
    due = true;
  }, { passive: true });

  for (const term of document.querySelectorAll("button.term")) {
    const definition = document.getElementById(term.getAttribute("popovertarget"));
    const open = () => definition.matches(":popover-open");
    term.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse" && !open()) definition.showPopover({ source: term });
    });
    term.addEventListener("click", (event) => { // a mouse has opened it by hovering: its click must not close it
      if (event.pointerType !== "mouse") return;
      event.preventDefault();
      if (!open()) definition.showPopover({ source: term });
    });
    term.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && open()) definition.hidePopover();
    });
  }
  name();
  mark();
  reveal();
})();
