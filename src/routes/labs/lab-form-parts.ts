import type { Compute, LabConfig } from '../../config/index.ts';
import { describeMemory } from '../../util/quantities.ts';
import type { Html } from '../pages/html.ts';
import { markup } from '../pages/html.ts';

/** A menu of more than these can be searched. */
const SEARCHED_CHOICES = 8;

/** Chooses the radio button of a menu or a text field when something is chosen or written there. */
export const CHOOSE_DROPDOWN =
  `const r=this.closest('label').querySelector('[type=radio]');r.checked=true;` +
  `r.dispatchEvent(new Event('change',{bubbles:true}))`;
/** What stands beside the chosen radio button must be there and fit its pattern; what stands beside another one is not checked. */
export const CHOOSE_IMAGE =
  `for(const f of this.querySelectorAll('[data-needed]')){const on=f.closest('label').querySelector('[type=radio]').checked;` +
  `f.required=on;if(f.dataset.pattern){if(on)f.pattern=f.dataset.pattern;else f.removeAttribute('pattern')}}`;
/** Leaves of a menu what holds the words that are searched for, and what is chosen; says how many that are. Groups are searched, too. */
const SEARCH =
  `const s=this.closest('.searched').querySelector('select'),w=this.value.toLowerCase().split(' ');let n=0;` +
  `for(const o of s.options){const t=(o.text+' '+(o.parentElement.label||'')).toLowerCase(),f=w.every(x=>t.includes(x));` +
  `o.hidden=!f&&!o.selected;n+=f}` +
  `for(const g of s.querySelectorAll('optgroup'))g.hidden=[...g.children].every(o=>o.hidden);` +
  `this.closest('.searched').querySelector('[role=status]').textContent=this.value?n+' of '+s.options.length:''`;
/** Enter in the search would send the form. */
const STAY = `if(event.key==='Enter')event.preventDefault()`;
/** What other profiles ask is neither checked nor sent, nor is an image where the profile has one. */
export const CHOOSE_PROFILE =
  `for(const f of this.closest('.choices').querySelectorAll('.options'))f.disabled=!f.parentElement.contains(this);` +
  `const i=this.closest('.labwright-form').querySelector('.asks-image');if(i)i.disabled=!this.classList.contains('leaves-image')`;
/** What is written in is checked and sent where the menu says so, and must then be there. Below the menu is what it cuts off. */
export const CHOOSE_CHOICE =
  `for(const f of this.closest('.option').querySelectorAll('fieldset')){f.disabled=f.dataset.choice!==this.value;` +
  `const i=f.querySelector('[data-needed]');if(i)i.required=!f.disabled}` +
  `const a=this.closest('.option').querySelector('.about');if(a)a.textContent=this.selectedOptions[0].dataset.about||''`;

/** All the script there is: without it the form asks more than is needed, and works. */
export const FORM_HANDLERS = [CHOOSE_DROPDOWN, CHOOSE_IMAGE, SEARCH, STAY, CHOOSE_PROFILE, CHOOSE_CHOICE];

/** A menu, with a field to search it where it is long. */
export function searched(select: Html, count: number, what: string): Html {
  if (count <= SEARCHED_CHOICES) return select;
  return markup`<span class="searched"><span class="search"><input type="search" aria-label="Search ${what}" placeholder="Search"
autocomplete="off" spellcheck="false" oninput="${SEARCH}" onkeydown="${STAY}"><span class="note" role="status"></span></span>
${select}</span>`;
}

/** Whether a menu shows several of its entries at once, which is where some can be hidden in every browser. */
export function rowsOf(count: number): Html | null {
  return count > SEARCHED_CHOICES ? markup` size="6"` : null;
}

/**
 * Compute in the words of its limits: `2 CPU, 4 GiB memory, 1 × nvidia.com/gpu`; of what is kept free where there is no limit: `2 CPU or more`.
 */
export function describeCompute({
  cpu,
  memory,
  extendedResources = {},
  unlimited = [],
}: {
  readonly cpu?: number;
  readonly memory?: number;
  readonly extendedResources?: Compute['extendedResources'];
  readonly unlimited?: LabConfig['unlimited'] | undefined;
}): string {
  const extended = Object.entries(extendedResources)
    .filter(([, amount]) => amount !== '0')
    .map(([name, amount]) => `${amount}\u00a0×\u00a0${name}`);
  const orMore = (what: 'cpu' | 'memory') => (unlimited.includes(what) ? ' or more' : '');
  return [
    ...(cpu === undefined ? [] : [`${String(Number(cpu.toFixed(2)))} CPU${orMore('cpu')}`]),
    ...(memory === undefined ? [] : [`${roughBytes(memory)} memory${orMore('memory')}`]),
    ...extended,
  ].join(', ');
}

/** Nobody reads bytes. */
export function roughBytes(bytes: number): string {
  const exact = describeMemory(bytes);
  return exact.endsWith(' B') ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : exact;
}

export function note(text: string | undefined): Html | null {
  return text === undefined || text === '' ? null : markup`<span class="note">${text}</span>`;
}

export function check(on: boolean): Html | null {
  return on ? markup` checked` : null;
}
