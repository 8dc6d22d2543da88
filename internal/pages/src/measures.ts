import type { Page } from 'playwright-core';

/** Buttons, links and fields that lie on one another. */
export const OVERLAPS = `(() => {
  const shown = [...document.querySelectorAll('main button, main a, main input, main select, nav a')]
    .map((element) => ({ element, box: element.getBoundingClientRect() }))
    .filter(({ element, box }) => box.width > 1 && box.height > 1 && element.checkVisibility());
  const names = [];
  for (const [index, one] of shown.entries()) {
    for (const other of shown.slice(index + 1)) {
      const within = one.element.contains(other.element) || other.element.contains(one.element);
      const inNav = one.element.closest('nav') !== null;
      if (within || inNav !== (other.element.closest('nav') !== null)) continue;
      const width = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const height = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
      if (width > 2 && height > 2) names.push(one.element.textContent + ' / ' + other.element.textContent);
    }
  }
  return names;
})()`;

/** How much what was shown has moved since the page began to load, as the browser scores it. */
export function layoutShift(page: Page): Promise<number> {
  return page.evaluate(
    `new Promise((resolve) => new PerformanceObserver((list, observer) => { observer.disconnect(); resolve(list.getEntries().reduce((sum, { value }) => sum + value, 0)); }).observe({ type: 'layout-shift', buffered: true }) ?? setTimeout(() => resolve(0), 200))`,
  );
}

/** What the map shows, pixel by pixel. */
export function picture(page: Page): Promise<string> {
  return page.locator('canvas.map').evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());
}
