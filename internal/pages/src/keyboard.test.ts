import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openBrowser, openUrl } from './browser.ts';
import { type RunningInspector, startInspector } from './inspector.ts';

let browser: Browser;
let inspector: RunningInspector;
beforeAll(async () => {
  [browser, inspector] = await Promise.all([openBrowser(), startInspector()]);
  // It stays: the server ends when its last page is gone.
  await openUrl(browser, `${inspector.url}#tours`);
});
afterAll(async () => {
  await browser?.close();
  inspector?.interrupt();
});

/** What HTML itself has act by keyboard. */
const NATIVE = 'a[href], button, input, select, textarea, summary';
/** More stops than any page has. */
const MOST_STOPS = 1500;
/** Of the timeline's picture: each event is a button in the list below it. */
const PICTURES = '.lanes svg';

/** Waits until the page draws nothing more: rows of a list that has just been opened come a moment later. */
async function settled(page: Page): Promise<void> {
  const quiet =
    'new Promise((resolve) => { let timer; const watch = new MutationObserver(() => wait()); const wait = () => { clearTimeout(timer); timer = setTimeout(() => { watch.disconnect(); resolve(); }, 1000); }; watch.observe(document.body, { subtree: true, childList: true, attributes: true }); wait(); })';
  await page.evaluate(quiet);
}

/** Marks each element of the page that listens to something with what that is, as the browser itself has it. */
async function markListeners(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const { result } = await session.send('Runtime.evaluate', { expression: 'document.body' });
  const { listeners } = await session.send('DOMDebugger.getEventListeners', {
    objectId: result.objectId ?? '',
    depth: -1,
  });
  const types = new Map<number, Set<string>>();
  for (const { type, backendNodeId = 0 } of listeners) {
    types.set(backendNodeId, (types.get(backendNodeId) ?? new Set()).add(type));
  }
  for (const [backendNodeId, listened] of types) {
    const { object } = await session.send('DOM.resolveNode', { backendNodeId });
    await session.send('Runtime.callFunctionOn', {
      objectId: object.objectId ?? '',
      functionDeclaration: 'function (types) { this.dataset.listens = types; }',
      arguments: [{ value: [...listened].join(' ') }],
    });
  }
  await session.detach();
}

/**
 * What can be clicked, by Tab and by what one then presses: what is never reached, and what is reached and answers no key.
 */
async function beyondKeyboard(page: Page): Promise<{ stops: number; unreached: string[]; deaf: string[] }> {
  await markListeners(page);
  await page.evaluate(`
    window.clickable = [...document.querySelectorAll('${NATIVE}, [data-listens~=click], [data-listens~=mousedown]')]
      .filter((element) => element.checkVisibility({ visibilityProperty: true }) && !element.matches(':disabled, ${PICTURES}'));
    window.reached = new Set();
    document.activeElement?.blur();
    window.getSelection()?.removeAllRanges();
  `);
  let stops = 0;
  // It comes round: behind the last stop is the page's beginning.
  for (; stops < MOST_STOPS; stops++) {
    await page.keyboard.press('Tab');
    const isNew = await page.evaluate(`(() => {
      const now = document.activeElement;
      if (now === null || now === document.body || window.reached.has(now)) return false;
      window.reached.add(now);
      return true;
    })()`);
    if (isNew !== true) break;
  }
  const found = await page.evaluate(`(() => {
    const told = (element) => element.outerHTML.slice(0, 120);
    const reached = [...window.reached];
    // One stop of a group of radio buttons, and of a widget that arrow keys go about in.
    const byArrows = (element) =>
      element.type === 'radio'
        ? reached.some((other) => other.type === 'radio' && other.name === element.name)
        : element.tabIndex < 0 && element.matches('[data-listens~=keydown]') && reached.some((other) =>
            other.matches('[data-listens~=keydown]') && other.closest('table') !== null && other.closest('table') === element.closest('table'));
    return {
      unreached: window.clickable.filter((element) => !window.reached.has(element) && !byArrows(element)).map(told),
      deaf: window.clickable
        .filter((element) => window.reached.has(element) && !element.matches('${NATIVE}') && !element.matches('[data-listens~=keydown]'))
        .map(told),
    };
  })()`);
  return { stops, ...(found as { unreached: string[]; deaf: string[] }) };
}

const PAGES: readonly (readonly [name: string, place: string, shown: string])[] = [
  ['the audit, its map, and its tables', 'memory', 'canvas.map'],
  ['a walk', 'walk?va=0xffffffff81000000&access=write', '#outcome'],
  ['a walk of what is no address', 'walk?va=nothing&access=read', '[role=alert]'],
  ['a boot', 'time?machine=hardened&at=40', '[aria-busy=false] #changed'],
  ['an attack on two machines', 'attacks?attack=store-text-after-pte-edit', '.meets ol'],
  ['the tours', 'tours', '.tours a'],
];

describe('whatever can be clicked is reached by Tab, and by arrow keys within a widget, and answers keys', () => {
  test.each(PAGES)('%s', async (_, place, shown) => {
    const { page } = await openUrl(browser, `${inspector.url}#${place}`);
    await page.locator(shown).first().waitFor();
    await page.evaluate('for (const one of document.querySelectorAll("details")) one.open = true');
    await settled(page);
    const { stops, unreached, deaf } = await beyondKeyboard(page);
    expect(unreached).toEqual([]);
    expect(deaf).toEqual([]);
    expect(stops).toBeGreaterThan(5);
    expect(stops).toBeLessThan(MOST_STOPS);
    await page.close();
  });

  test('what is not, would be told', async () => {
    const { page } = await openUrl(browser, `${inspector.url}#tours`);
    await page.locator('.tours a').first().waitFor();
    await page.evaluate(`
      document.querySelector('main').insertAdjacentHTML('beforeend', '<p id="one">1</p><p id="two" tabindex="0">2</p><button id="three" tabindex="-1">3</button>');
      for (const id of ['one', 'two']) document.getElementById(id).addEventListener('click', () => {});
    `);
    const { unreached, deaf } = await beyondKeyboard(page);
    expect(unreached.map((text) => /id="(\w+)"/.exec(text)?.[1])).toEqual(['one', 'three']);
    expect(deaf.map((text) => /id="(\w+)"/.exec(text)?.[1])).toEqual(['two']);
    await page.close();
  });
});
