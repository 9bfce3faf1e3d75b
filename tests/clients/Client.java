// The JDK's own client as it comes: it offers `Upgrade: h2c` with every request to a plain server.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.io.ByteArrayInputStream;
import java.time.Duration;

public class Client {
    static final HttpClient CLIENT = HttpClient.newHttpClient();
    static String base;

    public static void main(String[] arguments) throws Exception {
        base = arguments[0];
        String name = arguments[1];
        BodyPublisher none = BodyPublishers.noBody();
        String json = "{\"n\":1}";
        ask("GET", "/hot/" + name, none);
        ask("GET", "/hot/" + name, none);
        ask("GET", "/cold/" + name, none);
        ask("POST", "/echo/" + name, BodyPublishers.ofString(json));
        ask("POST", "/echo/" + name, BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(json.getBytes())));
        ask("POST", "/read/" + name, BodyPublishers.ofString(json));
        ask("POST", "/read/" + name, BodyPublishers.ofString(json));
        ask("HEAD", "/hot/" + name, none);
    }

    static void ask(String method, String path, BodyPublisher body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(base + path)).timeout(Duration.ofSeconds(20))
            .header("Content-Type", "application/json").method(method, body).build();
        var response = CLIENT.send(request, BodyHandlers.ofString());
        String cache = response.headers().firstValue("x-cache").orElse("-");
        System.out.println(method + " " + path + " " + response.statusCode() + " " + cache + " " + response.body());
    }
}
