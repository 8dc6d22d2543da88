import type { Step } from './schema/step-schema.ts';

/** What a step does, in words: `load-module driver staticCalls 4`. */
export function actionText({ do: action, expect: _, ...details }: Step): string {
  const words = Object.entries(details).map(([key, value]) => {
    if (typeof value === 'object') return `(${actionText(value)})`;
    return typeof value === 'string' ? value : `${key} ${value}`;
  });
  return [action, ...words].join(' ');
}
