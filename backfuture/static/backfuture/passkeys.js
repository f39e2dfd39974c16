// Passkeys: forms with data-passkey ask the browser for one and then send its answer.
// "create" and "get" find their options in #passkey-options, "sign-in" fetches them when pressed.
// What goes wrong is said in the page, in the sentences of mfa/webauthn/_ceremony.html.
(() => {
  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  const button = form.querySelector("button[type=submit]");
  const label = button.innerHTML;
  const said = document.querySelector("[data-passkey-said]");
  const word = (name) => document.querySelector(`[data-passkey-word="${name}"]`)?.content.textContent;

  const say = (error) => {
    said.textContent = word(error.name) || `${word("other")} ${error.name}`;
    said.closest("[data-passkey-alert]").hidden = false;
  };
  const busy = (yes) => {
    button.disabled = yes;
    if (yes) button.textContent = word("busy");
    else button.innerHTML = label;
  };

  const given = () => JSON.parse(document.getElementById("passkey-options").textContent);
  const fetched = async () => {
    const headers = { Accept: "application/json" };
    const answer = await fetch(form.action, { headers }).catch(() => null);
    if (!answer?.ok) throw Object.assign(new Error(), { name: "offline" });
    return (await answer.json()).request_options;
  };
  const forNew = () => {
    const options = given();
    const alone = form.elements.passwordless.checked;
    Object.assign(options.publicKey.authenticatorSelection, {
      residentKey: alone ? "required" : "discouraged",
      requireResidentKey: alone,
      ...(alone && { userVerification: "required" }),
    });
    return options;
  };
  const ask = {
    create: async () => webauthnJSON.create(forNew()),
    get: async () => webauthnJSON.get(given()),
    "sign-in": async () => webauthnJSON.get(await fetched()),
  }[form.dataset.passkey];

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    event.stopPropagation(); // app.js counts a form as sent
    said.closest("[data-passkey-alert]").hidden = true;
    busy(true);
    try {
      form.elements.credential.value = JSON.stringify(await ask());
      form.submit();
    } catch (error) {
      say(error);
      busy(false);
      button.focus();
    }
  });
  addEventListener("pageshow", () => busy(false));

  if (!window.PublicKeyCredential) {
    button.disabled = true;
    say({ name: isSecureContext ? "NotSupportedError" : "SecurityError" });
  }
})();
