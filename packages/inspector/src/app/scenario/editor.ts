import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { json } from '@codemirror/lang-json';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { EditorState } from '@codemirror/state';
import { EditorView, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { completeBy } from './complete.ts';
import type { Schema } from './schema.ts';

/** The colours of the page, which change with its scheme. */
const THEME = EditorView.theme({
  '&': {
    background: 'var(--surface)',
    color: 'var(--text)',
    border: '1px solid var(--line)',
    fontSize: '0.85rem',
  },
  '&.cm-focused': { outline: '2px solid var(--accent)' },
  '.cm-scroller': { minHeight: '12rem', maxHeight: '24rem', fontFamily: 'ui-monospace, monospace' },
  '.cm-content': { caretColor: 'var(--text)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '.cm-gutters': { background: 'var(--surface)', color: 'var(--quiet)', border: 'none' },
  '.cm-tooltip': { background: 'var(--surface)', color: 'var(--text)', border: '1px solid var(--line)' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': {
    background: 'var(--accent)',
    color: 'var(--background)',
  },
  // It has so few that it need not be scrolled, which no key could do while one writes.
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { maxHeight: 'none' },
  '.cm-completionInfo': { maxWidth: '20rem' },
});
const COLOURS = HighlightStyle.define([
  { tag: tags.propertyName, color: 'var(--level-4)' },
  { tag: tags.string, color: 'var(--level-3)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--level-2)' },
]);

/** An editor of JSON that knows a schema. */
export interface ScenarioEditor {
  readonly text: string;
  close(): void;
}

/**
 * Puts an editor into `host`. Its style is in a shadow root, by `adoptedStyleSheets`: the page's Content-Security-Policy lets no other in.
 *
 * @param label what it is called
 */
export async function openEditor(host: HTMLElement, label: string, text: string): Promise<ScenarioEditor> {
  const schema: Schema = await (await fetch('scenario.schema.json')).json();
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(),
        history(),
        json(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        autocompletion({ override: [completeBy(schema)], maxRenderedOptions: 12 }),
        syntaxHighlighting(COLOURS),
        THEME,
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': label }),
        // Tab leaves it, as it leaves every field.
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...defaultKeymap, ...historyKeymap]),
      ],
    }),
  });
  return {
    get text() {
      return view.state.doc.toString();
    },
    close: () => view.destroy(),
  };
}
