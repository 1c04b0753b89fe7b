/** The page begins: the embedded model is loaded at once. */
import { render } from "preact";
import { App } from "./app.tsx";
import { loadModel } from "./chat/model.ts";

render(<App />, document.getElementById("app")!);
void loadModel();
