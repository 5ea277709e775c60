/**
 * The form's own look. It stands in JupyterHub's Bootstrap page, whose colours it takes over (light and dark), or alone;
 * every rule is kept inside `.labwright-form`.
 */
export const LAB_FORM_STYLE = `
.labwright-form {
  --line: var(--bs-border-color, #d5d9de);
  --soft: var(--bs-tertiary-bg, #f6f7f9);
  --quiet: var(--bs-secondary-color, #5c6670);
  --accent: #e66000;
  color: var(--bs-body-color, #1f2328);
  font-family: var(--bs-body-font-family, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif);
  line-height: 1.45;
  max-width: 46rem;
  margin: 0 auto 1.5rem;
  text-align: left;
}
.labwright-form *, .labwright-form *::before { box-sizing: border-box; }
.labwright-form fieldset { border: 0; margin: 0 0 1.75rem; min-width: 0; padding: 0; }
.labwright-form legend {
  float: none; font-size: 1.05rem; font-weight: 600; margin: 0 0 .6rem; padding: 0; width: auto;
}
.labwright-form .choices { display: grid; gap: .5rem; }
.labwright-form .sizes { grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); }
.labwright-form label {
  align-items: flex-start; border: 1px solid var(--line); border-radius: .5rem; cursor: pointer; display: flex;
  gap: .65rem; margin: 0; padding: .65rem .8rem;
}
.labwright-form label:hover { background: var(--soft); }
.labwright-form label:has(input:checked) { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); }
.labwright-form label:has(> input:focus-visible) { outline: 2px solid var(--accent); outline-offset: 2px; }
.labwright-form input[type="radio"], .labwright-form input[type="checkbox"] {
  accent-color: var(--accent); flex: none; height: 1rem; margin: .22rem 0 0; width: 1rem;
}
.labwright-form .text { display: block; flex: 1; min-width: 0; overflow-wrap: anywhere; }
.labwright-form .name { display: block; font-weight: 500; }
.labwright-form .note { color: var(--quiet); display: block; font-size: .85rem; }
.labwright-form .code { font-family: var(--bs-font-monospace, ui-monospace, SFMono-Regular, Menlo, monospace); }
.labwright-form .name.code { font-size: .88rem; }
.labwright-form .note.code { font-size: .78rem; }
.labwright-form .badge-recommended { font-family: var(--bs-body-font-family, system-ui, sans-serif); }
.labwright-form .profile { border: 1px solid var(--line); border-radius: .5rem; }
.labwright-form .profile:has(> label > input:checked) { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); }
.labwright-form .profile > label:has(input) { border: 0; box-shadow: none; }
.labwright-form .profile .options { display: grid; gap: .9rem; margin: 0; padding: 0 .8rem .9rem 2.45rem; }
.labwright-form label.plain { border: 0; box-shadow: none; display: block; font-weight: 500; padding: 0; }
.labwright-form label.plain:hover { background: none; }
.labwright-form .beside { margin: .7rem 0 0; }
.labwright-form .beside .plain:not(:first-of-type) { margin-top: .6rem; }
.labwright-form .aside {
  clip-path: inset(50%); height: 1px; margin: -1px; overflow: hidden; position: absolute; white-space: nowrap; width: 1px;
}
.labwright-form .beside .note, .labwright-form .option > .note { margin-top: .2rem; }
.labwright-form ::placeholder { color: var(--quiet); opacity: 1; }
.labwright-form .searched { display: block; }
.labwright-form .search, .labwright-form .about { display: none; }
.labwright-form .search .note { margin-top: .2rem; }
@media (scripting: enabled) {
  .labwright-form .search, .labwright-form .about { display: block; }
  .labwright-form .without-script,
  .labwright-form .profile:has(> label > input:not(:checked)) > .options,
  .labwright-form .option:not(:has(> select > option[value="unlisted-choice"]:checked, .searched option[value="unlisted-choice"]:checked))
    > [data-choice="unlisted-choice"],
  .labwright-form .option:not(:has(> select > option[value="repository-choice"]:checked, .searched option[value="repository-choice"]:checked))
    > [data-choice="repository-choice"],
  .labwright-form.with-profiles:not(:has(.leaves-image:checked)) > .asks-image,
  .labwright-form.with-profiles:not(:has(.leaves-size:checked)) > .asks-size { display: none; }
}
.labwright-form select, .labwright-form input[type="text"], .labwright-form input[type="search"] {
  background: var(--bs-body-bg, #fff); border: 1px solid var(--line); border-radius: .375rem; color: inherit;
  font: inherit; margin-top: .4rem; padding: .35rem .5rem; width: 100%;
}
.labwright-form input:user-invalid, .labwright-form select:user-invalid { border-color: #c62828; }
.labwright-form select:focus-visible, .labwright-form input:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
@media (max-width: 30rem) { .labwright-form .profile .options { padding-left: .8rem; } }
.labwright-form .badge-recommended {
  border: 1px solid var(--line); border-radius: 1rem; color: var(--quiet); font-size: .72rem; font-weight: 400;
  margin-left: .35rem; padding: .05rem .5rem; white-space: nowrap;
}
.labwright-form .unavailable { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem 1.2rem; }
.labwright-form .unavailable p { margin: .25rem 0 0; }
`;
