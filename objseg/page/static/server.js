// What the page asks the server.

export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const GONE = "The server does not answer. Is tools/serve.py still running?";

// Returns the Response. Throws ServerError with a sentence for people, status 0 without an answer.
export async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(GONE, 0);
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new ServerError(said.error ?? `The server answered ${answer.status}.`, answer.status);
}

// A picture on the server, sent again where the server has forgotten it.
export class Picture {
  constructor(file, name) {
    this.file = file;
    this.name = name;
    this.sent = null;
  }

  send() {
    this.sent ??= ask("/pictures", {
      method: "POST", body: this.file, headers: { "Content-Type": "application/octet-stream" },
    }).then((answer) => answer.json());
    this.sent.catch(() => { this.sent = null; });
    return this.sent;
  }

  async get(what, parameters, signal) {
    const address = ({ id }) => `/pictures/${id}/${what}?${new URLSearchParams(parameters)}`;
    const sent = this.send();
    try {
      return await ask(address(await sent), { signal });
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    if (this.sent === sent) this.sent = null; // unless another phrase has sent it again already
    return ask(address(await this.send()), { signal });
  }
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
