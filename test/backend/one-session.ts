/** Many small cases in one session: making one, with its threads or buffers, can take longer than what it computes. */
import type { Backend, Session } from "../../src/backend/contract.js";

/** The backend, but that all who ask for a session have the same, which stays to the end of the process. */
export function inOneSession<B extends Backend>(backend: B): B {
  let only: Promise<Session> | undefined;
  const createSession = async (): Promise<Session> => {
    only ??= backend.createSession();
    return { ...(await only), dispose: () => undefined };
  };
  return { ...backend, createSession };
}
