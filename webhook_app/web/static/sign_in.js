// A link from another site arrives without the session's cookie (SameSite=Strict), so somebody signed in sees the
// sign-in form. A call from our own page carries the cookie: ask, and go where the link led.
"use strict";
(async () => {
  const form = document.getElementById("sign-in-form");
  const answer = await fetch("/dashboard/session", { cache: "no-store" });
  if (answer.ok && (await answer.json()).signed_in) location.replace(form.dataset.next);
})();
