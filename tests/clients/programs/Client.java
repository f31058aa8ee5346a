// Client URL TOKEN FILE...   adds the members in each FILE
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;

public class Client {
    public static void main(String[] args) throws Exception {
        OkHttpClient client = new OkHttpClient.Builder().callTimeout(20, TimeUnit.SECONDS).build();
        MediaType mediaType = MediaType.parse("application/x-www-form-urlencoded");
        for (String file : Arrays.copyOfRange(args, 2, args.length)) {
            RequestBody body = RequestBody.create(mediaType, "queuemember=" + Files.readString(Path.of(file)));
            Request request = new Request.Builder()
                .url(args[0])
                .post(body)
                .addHeader("Content-Type", "application/x-www-form-urlencoded")
                .addHeader("Authorization", "Basic " + args[1])
                .build();
            try (Response response = client.newCall(request).execute()) {
                System.out.print(response.body().string() + " " + response.code() + "\n");
            }
        }
        client.connectionPool().evictAll();
    }
}
