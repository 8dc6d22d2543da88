import { type Remote, wrap } from 'comlink';
import type { InspectorModel } from '../model/inspector-model.ts';

/** The model, in a worker of its own: whatever it works on, the page stays quick. */
export function connectModel(): Remote<InspectorModel> {
  return wrap<InspectorModel>(new Worker(new URL('worker.js', document.baseURI), { type: 'module' }));
}
