// What pages gain with JavaScript. All of them work without it.
(() => {
  const root = document.documentElement;

  // Theme: auto, light or dark.
  const choice = () => root.dataset.bsTheme || "auto";
  const showChoice = () => {
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice()));
    }
  };
  const choose = (theme) => {
    if (theme === "auto") delete root.dataset.bsTheme;
    else root.dataset.bsTheme = theme;
    try {
      if (theme === "auto") localStorage.removeItem("theme");
      else localStorage.setItem("theme", theme);
    } catch {
      // Storage is blocked: the choice holds for this page.
    }
    showChoice();
  };

  // Copy: the value of the field named by data-copy; said in the button itself.
  const copy = async (button) => {
    const field = document.querySelector(button.dataset.copy);
    const label = button.querySelector("[data-copy-label]");
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      field.select();
      if (!document.execCommand("copy")) return;
    }
    button.classList.add("copied");
    label.textContent = button.dataset.copied;
    setTimeout(() => {
      button.classList.remove("copied");
      label.textContent = before;
    }, 2000);
  };

  document.addEventListener("click", (event) => {
    const theme = event.target.closest("[data-theme-choice]");
    if (theme) choose(theme.dataset.themeChoice);
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    if (event.target.closest("[data-print]")) print();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // A form is sent once: a second click before the answer does nothing. One that answers with a
  // file stays, and may be sent again.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.hasAttribute("hx-post") || form.method !== "post" || "answersFile" in form.dataset) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // The wait before the next test, counted down in its button.
  const countDown = () => {
    for (const button of document.querySelectorAll("[data-wait]")) {
      const left = Number(button.dataset.wait) - 1;
      const seconds = button.querySelector("[data-wait-left]");
      button.disabled = left > 0;
      if (left > 0) {
        button.dataset.wait = String(left);
        seconds.textContent = String(left);
      } else {
        delete button.dataset.wait;
        seconds.parentElement.remove();
      }
    }
  };
  setInterval(countDown, 1000);

  // The ticking test, said to screen readers only when its sentence changes.
  const say = () => {
    const sentence = document.getElementById("test-sentence");
    const live = document.getElementById("test-live");
    if (!sentence || !live) return;
    const text = sentence.textContent.trim().replace(/\s+/g, " ");
    if (live.textContent !== text) live.textContent = text;
  };
  const show = (id, yes) => {
    const note = document.getElementById(id);
    if (note) note.hidden = !yes;
  };
  const offline = (yes) => show("offline", yes);
  // There is nothing more to ask for: says why, and what asked, now without htmx, asks no more.
  const stop = (why) => {
    offline(false);
    show(why, true);
    const asking = document.querySelector("#test-panel, #confirm");
    if (!asking) return;
    const still = asking.cloneNode(true);
    for (const part of [still, ...still.querySelectorAll("*")]) {
      for (const name of part.getAttributeNames()) if (name.startsWith("hx-")) part.removeAttribute(name);
    }
    still.setAttribute("inert", "");
    asking.replaceWith(still);
  };
  document.addEventListener("htmx:afterSettle", (event) => {
    say();
    // The pressed button is gone: the keyboard goes on from the panel (htmx keeps it there).
    const panel = document.getElementById("test-panel");
    if (panel && document.activeElement === document.body && event.detail.requestConfig?.verb === "post") {
      panel.focus({ preventScroll: true });
    }
  });
  document.addEventListener("htmx:sendError", () => offline(true));
  document.addEventListener("htmx:afterRequest", (event) => {
    const status = event.detail.xhr.status;
    if (status === 404) stop("gone");
    else if (status) offline(status >= 400);
  });
  // Answered from another address: that is the sign-in page.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const asked = new URL(event.detail.pathInfo.finalRequestPath, location.href).pathname;
    const answered = event.detail.xhr.responseURL && new URL(event.detail.xhr.responseURL).pathname;
    if (!answered || answered === asked) return;
    event.detail.shouldSwap = false;
    stop("signed-out");
  });

  // Whoever confirmed with a passkey in another tab comes back: the question is asked for again,
  // unless an answer to it is being typed.
  addEventListener("focus", () => {
    const question = document.querySelector("#confirm[hx-get]");
    const typed = question?.querySelector("input")?.value;
    if (question && !typed) question.dispatchEvent(new Event("look"));
  });

  // htmx notes the address there on every page; nothing of ours is to stay in the browser.
  document.addEventListener("DOMContentLoaded", () => {
    try {
      sessionStorage.removeItem("htmx-current-path-for-history");
    } catch {
      // Storage is blocked: nothing was noted.
    }
  });

  showChoice();
})();
